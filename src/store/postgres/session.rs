//! A pooled connection for one method of the store: every statement is prepared once a connection, every wait for the server's
//! answer is counted, and none is without end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::error::transient;
use crate::store::StoreError;

/// Waits for an answer of the server, over the life of a store. The handshakes of new connections are not among them.
#[derive(Debug, Default)]
pub(super) struct RoundTrips(AtomicU64);

impl RoundTrips {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) struct Session<'a> {
    /// `None` only while it is dropped.
    client: Option<Object>,
    trips: &'a RoundTrips,
    /// How long an answer may take. The server's own limit ends a slow statement earlier; this one ends the wait for a server, or
    /// for something on the way to it, that says nothing more and keeps the connection open.
    patience: Duration,
    silent: AtomicBool,
}

impl<'a> Session<'a> {
    pub(super) fn new(client: Object, trips: &'a RoundTrips, patience: Duration) -> Self {
        Self { client: Some(client), trips, patience, silent: AtomicBool::new(false) }
    }

    pub(super) async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(sql).await?;
        self.trips.count();
        self.answered(self.client().query(&statement, parameters)).await
    }

    pub(super) async fn query_one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row, StoreError> {
        let statement = self.prepared(sql).await?;
        self.trips.count();
        self.answered(self.client().query_one(&statement, parameters)).await
    }

    pub(super) async fn query_opt(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        let statement = self.prepared(sql).await?;
        self.trips.count();
        self.answered(self.client().query_opt(&statement, parameters)).await
    }

    pub(super) async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        let statement = self.prepared(sql).await?;
        self.trips.count();
        self.answered(self.client().execute(&statement, parameters)).await
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, StoreError> {
        let known = self.client().statement_cache.size();
        let statement = self.answered(self.client().prepare_cached(sql)).await?;
        if self.client().statement_cache.size() > known {
            self.trips.count();
        }
        Ok(statement)
    }

    async fn answered<T>(&self, answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.patience, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.silent.store(true, Ordering::Relaxed);
                Err(transient("timeout", format!("no answer of the server within {}", humantime::format_duration(self.patience))))
            }
        }
    }

    fn client(&self) -> &Object {
        self.client.as_ref().expect("it is taken by drop alone")
    }
}

impl Drop for Session<'_> {
    /// A connection that owes an answer does not go back to the pool: whoever took it next would wait behind that answer.
    fn drop(&mut self) {
        if self.silent.load(Ordering::Relaxed)
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client));
        }
    }
}
