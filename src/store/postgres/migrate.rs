//! The schema `nerd`: made and upgraded by versioned migrations, one process at a time; a schema newer than this program is
//! refused. Also the host's tables for a fresh install, and the trigger, both only when asked for.

use std::collections::HashSet;

use refinery::Runner;
use tokio_postgres::Client;

use super::error::{permanent, transient};
use super::sql::{fill, quoted};
use super::tls::connector;
use super::{StoreOptions, target};
use crate::store::StoreError;

mod embedded {
    refinery::embed_migrations!("migrations");
}

const HISTORY: &str = "nerd.schema_history";
const HOST_TABLES: &str = include_str!("host_tables.sql");
const TRIGGER: &str = include_str!("trigger.sql");
/// Any number, the same in every process: whoever holds it migrates.
const LOCK: &str = "SELECT pg_advisory_lock(hashtext('nerd.migrate')::bigint)";

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Migrated {
    /// `V1 queue_and_ledger`…, in order; empty when the schema was up to date.
    pub applied: Vec<String>,
    pub version: u32,
    pub host_tables: bool,
    /// Those of the host's tables that were missing.
    pub created: Vec<String>,
    pub trigger: bool,
}

/// Where the schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    Missing,
    /// Behind this program: `nerd migrate` brings it up to date.
    Old(u32),
    Current,
    /// Made by a newer nerd.
    New(u32),
}

fn runner() -> Runner {
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY);
    runner
}

/// The newest version this program knows.
pub fn newest() -> u32 {
    runner().get_migrations().iter().map(|m| u32::try_from(m.version()).unwrap_or(0)).max().unwrap_or(0)
}

/// Brings the schema up to date.
pub async fn migrate(options: &StoreOptions, host_tables: bool, trigger: bool) -> Result<Migrated, StoreError> {
    let mut client = connect(options).await?;
    client
        .batch_execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET client_min_messages = warning")
        .await?;
    client.batch_execute(LOCK).await?;
    let created = if host_tables { create_host_tables(&client, &options.host_schema).await? } else { Vec::new() };
    if let SchemaState::New(version) = state_of(&client).await? {
        return Err(too_new(version));
    }
    client.batch_execute("CREATE SCHEMA IF NOT EXISTS nerd").await?;
    let report = runner().run_async(&mut client).await.map_err(|error| permanent("schema", format!("the migration failed: {error}")))?;
    if trigger {
        client.batch_execute(&format!("BEGIN; {}; COMMIT", fill(TRIGGER, &options.host_schema))).await?;
    }
    Ok(Migrated {
        applied: report.applied_migrations().iter().map(|m| format!("V{} {}", m.version(), m.name())).collect(),
        version: newest(),
        host_tables,
        created,
        trigger,
    })
}

/// Creates those of the host's tables that are missing, all or none; returns their names.
async fn create_host_tables(client: &Client, host_schema: &str) -> Result<Vec<String>, StoreError> {
    let known = client.query("SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1)", &[&quoted(host_schema)]).await?;
    let known: HashSet<&str> = known.iter().map(|row| row.get(0)).collect();
    let missing: Vec<(&str, &str)> = host_table_parts().filter(|(name, _)| !known.contains(name)).collect();
    // Not even the permission to create a schema is needed where it is there.
    let schema: bool = client.query_one("SELECT to_regnamespace($1) IS NOT NULL", &[&quoted(host_schema)]).await?.get(0);
    let schema = if schema { String::new() } else { format!("CREATE SCHEMA {};", quoted(host_schema)) };
    let parts: String = missing.iter().map(|(_, part)| fill(part, host_schema)).collect();
    if !missing.is_empty() {
        client.batch_execute(&format!("BEGIN; {schema} {parts} COMMIT")).await?;
    }
    Ok(missing.into_iter().map(|(name, _)| name.to_owned()).collect())
}

/// Name and statements of each of the host's tables, the ones that are referred to first.
fn host_table_parts() -> impl Iterator<Item = (&'static str, &'static str)> {
    HOST_TABLES.split("-- table: ").skip(1).filter_map(|part| part.split_once('\n'))
}

/// Looks at the schema's version without changing anything.
pub async fn schema_state(options: &StoreOptions) -> Result<SchemaState, StoreError> {
    let patience = options.statement_timeout + options.connect_timeout;
    tokio::time::timeout(patience, async { state_of(&connect(options).await?).await })
        .await
        .unwrap_or_else(|_| Err(transient("timeout", "the server does not answer")))
}

/// A state that the daemon cannot work with, as the error to stop with.
pub fn refuse_unless_current(state: SchemaState) -> Result<(), StoreError> {
    match state {
        SchemaState::Current => Ok(()),
        SchemaState::Missing => Err(permanent("schema", "the database has no schema nerd: run `nerd migrate` first")),
        SchemaState::Old(version) => Err(permanent(
            "schema",
            format!("the schema nerd is at version {version}, this nerd needs {}: run `nerd migrate` first", newest()),
        )),
        SchemaState::New(version) => Err(too_new(version)),
    }
}

fn too_new(version: u32) -> StoreError {
    let ours = newest();
    permanent("schema", format!("the schema nerd is at version {version}, newer than this nerd (up to {ours}): run the newer nerd"))
}

pub(super) async fn state_of(client: &Client) -> Result<SchemaState, StoreError> {
    let exists: bool = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&HISTORY]).await?.get(0);
    if !exists {
        return Ok(SchemaState::Missing);
    }
    let version: Option<i32> = client.query_one(&format!("SELECT max(version)::int FROM {HISTORY}"), &[]).await?.get(0);
    let version = u32::try_from(version.unwrap_or(0)).unwrap_or(0);
    Ok(match version.cmp(&newest()) {
        std::cmp::Ordering::Equal => SchemaState::Current,
        std::cmp::Ordering::Greater => SchemaState::New(version),
        std::cmp::Ordering::Less if version == 0 => SchemaState::Missing,
        std::cmp::Ordering::Less => SchemaState::Old(version),
    })
}

/// A connection of its own, outside the pool: advisory locks and settings end with it. A migration reads and sorts whole tables
/// where that is best, so the planner is left as the server has it.
pub(super) async fn connect(options: &StoreOptions) -> Result<Client, StoreError> {
    let target = target(options, &[])?;
    let connector = connector(&target).map_err(|message| permanent("connect", message))?;
    let (client, connection) = tokio::time::timeout(options.connect_timeout, target.config.connect(connector))
        .await
        .map_err(|_| transient("timeout", "no connection to the server in time"))??;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the migration's connection ended");
        }
    });
    Ok(client)
}
