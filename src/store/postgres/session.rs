//! A pooled connection for one method of the store: every statement is prepared once a connection, and every wait for the
//! server's answer is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

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
    client: Object,
    trips: &'a RoundTrips,
}

impl<'a> Session<'a> {
    pub(super) fn new(client: Object, trips: &'a RoundTrips) -> Self {
        Self { client, trips }
    }

    pub(super) async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(sql).await?;
        self.trips.count();
        Ok(self.client.query(&statement, parameters).await?)
    }

    pub(super) async fn query_one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row, StoreError> {
        let statement = self.prepared(sql).await?;
        self.trips.count();
        Ok(self.client.query_one(&statement, parameters).await?)
    }

    pub(super) async fn query_opt(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        let statement = self.prepared(sql).await?;
        self.trips.count();
        Ok(self.client.query_opt(&statement, parameters).await?)
    }

    pub(super) async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        let statement = self.prepared(sql).await?;
        self.trips.count();
        Ok(self.client.execute(&statement, parameters).await?)
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, StoreError> {
        let known = self.client.statement_cache.size();
        let statement = self.client.prepare_cached(sql).await?;
        if self.client.statement_cache.size() > known {
            self.trips.count();
        }
        Ok(statement)
    }
}
