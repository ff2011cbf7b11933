//! What may happen to the database and to the way there, each with its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::fleet::Fleet;
use super::link::{Link, Weather};
use super::server::{Server, Stop};
use crate::support::process::nerd;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatabaseFault {
    ConnectionsCut,
    HalfClosed,
    Late,
    Dripping,
    Silent,
    Refused,
    Terminated,
    StoppedFast,
    StoppedImmediately,
    ConnectionsFull,
    SerializationFailure,
    DeadlockFailure,
    DiskFull,
    TableLocked,
    ReadOnly,
    TriggerDropped,
    MigrationRun,
}

impl DatabaseFault {
    pub const ALL: [Self; 17] = [
        Self::ConnectionsCut,
        Self::HalfClosed,
        Self::Late,
        Self::Dripping,
        Self::Silent,
        Self::Refused,
        Self::Terminated,
        Self::StoppedFast,
        Self::StoppedImmediately,
        Self::ConnectionsFull,
        Self::SerializationFailure,
        Self::DeadlockFailure,
        Self::DiskFull,
        Self::TableLocked,
        Self::ReadOnly,
        Self::TriggerDropped,
        Self::MigrationRun,
    ];
}

/// Where faults are injected.
pub struct Site {
    pub server: Server,
    pub link: Link,
    pub fleet: Arc<Fleet>,
    pub database: &'static str,
    /// How long a fault holds, drawn between these.
    pub hold: (Duration, Duration),
    /// How long new connections are refused.
    pub refusal: Duration,
}

/// The server's own error, by chance, from a trigger: as transactions meet it that conflict, or that find the disk full.
const FAILING: &str = "
CREATE SCHEMA faults;
CREATE FUNCTION faults.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF random() < 0.5 THEN RAISE EXCEPTION 'a fault of the experiment' USING ERRCODE = '{code}'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER faults AFTER INSERT OR UPDATE OR DELETE ON nerd.jobs FOR EACH STATEMENT EXECUTE FUNCTION faults.fail();
CREATE TRIGGER faults AFTER INSERT OR DELETE ON article_entities FOR EACH STATEMENT EXECUTE FUNCTION faults.fail();";

impl Site {
    pub fn url(&self) -> String {
        self.server.url(self.database)
    }

    /// Injects a fault and ends it; the fleet's count of disturbances is odd meanwhile.
    pub async fn inject(&self, fault: DatabaseFault, dice: &mut StdRng) {
        let hold = dice.random_range(self.hold.0..=self.hold.1);
        self.fleet.disturbed.fetch_add(1, Ordering::SeqCst);
        self.disturb(fault, hold).await;
        self.fleet.disturbed.fetch_add(1, Ordering::SeqCst);
    }

    async fn disturb(&self, fault: DatabaseFault, hold: Duration) {
        match fault {
            DatabaseFault::ConnectionsCut => self.link.cut(),
            DatabaseFault::HalfClosed => self.link.half_close(),
            DatabaseFault::Late => self.weather(Weather::Late(Duration::from_millis(150)), hold).await,
            DatabaseFault::Dripping => self.weather(Weather::Dripping, hold).await,
            DatabaseFault::Silent => self.weather(Weather::Silent, hold).await,
            DatabaseFault::Refused => {
                self.link.weather(Weather::Refusing);
                self.link.cut();
                tokio::time::sleep(self.refusal).await;
                self.link.weather(Weather::Clear);
            }
            DatabaseFault::Terminated => {
                self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nerd' AND datname = current_database()")
                    .await;
            }
            DatabaseFault::StoppedFast => self.stop(Stop::Fast, hold).await,
            DatabaseFault::StoppedImmediately => self.stop(Stop::Immediate, hold).await,
            DatabaseFault::ConnectionsFull => {
                // Whoever is there keeps its connection: they are cut, and must find the server full.
                let mut held = Vec::new();
                self.link.cut();
                while let Ok((client, connection)) = tokio_postgres::connect(&self.url(), NoTls).await {
                    tokio::spawn(connection);
                    held.push(client);
                }
                tokio::time::sleep(hold).await;
            }
            DatabaseFault::SerializationFailure => self.failing("40001", hold).await,
            DatabaseFault::DeadlockFailure => self.failing("40P01", hold).await,
            DatabaseFault::DiskFull => self.failing("53100", hold).await,
            DatabaseFault::TableLocked => {
                let client = self.client().await;
                client.batch_execute("BEGIN; LOCK TABLE nerd.jobs IN ACCESS EXCLUSIVE MODE").await.unwrap();
                // Longer than the statements' limit.
                tokio::time::sleep(hold + Duration::from_secs(2)).await;
                client.batch_execute("ROLLBACK").await.unwrap();
            }
            DatabaseFault::ReadOnly => {
                self.run("ALTER SYSTEM SET default_transaction_read_only = on").await;
                self.run("SELECT pg_reload_conf()").await;
                tokio::time::sleep(hold).await;
                self.run("ALTER SYSTEM RESET default_transaction_read_only").await;
                self.run("SELECT pg_reload_conf()").await;
            }
            DatabaseFault::TriggerDropped => {
                self.run("DROP TRIGGER nerd_enqueue_inserted ON articles; DROP TRIGGER nerd_enqueue_updated ON articles").await;
                tokio::time::sleep(hold).await;
                self.migrate().await;
            }
            DatabaseFault::MigrationRun => self.migrate().await,
        }
    }

    async fn weather(&self, weather: Weather, hold: Duration) {
        self.link.weather(weather);
        tokio::time::sleep(hold).await;
        self.link.weather(Weather::Clear);
    }

    async fn stop(&self, how: Stop, hold: Duration) {
        self.server.stop(how).await;
        tokio::time::sleep(hold).await;
        self.server.start_again().await;
        self.link.lead_to(self.server.address());
    }

    async fn failing(&self, code: &str, hold: Duration) {
        self.run(&FAILING.replace("{code}", code)).await;
        tokio::time::sleep(hold).await;
        self.run("DROP SCHEMA faults CASCADE").await;
    }

    /// The program's own migration, while its daemons are at work.
    async fn migrate(&self) {
        let url = self.url();
        let output = tokio::task::spawn_blocking(move || nerd(&url, &["migrate", "--with-trigger"])).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A connection that does not lead through the link.
    pub async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
        client
    }

    /// As whoever looks after a database does: what lost to the daemons' own locks is tried again.
    async fn run(&self, sql: &str) {
        let client = self.client().await;
        while let Err(error) = client.batch_execute(sql).await {
            assert_eq!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{sql}: {error:?}");
        }
    }
}
