//! Looks at a database as the daemon would meet it, and says what is wanting of the [`needs`]: over a connection of its own, by the
//! server's catalogues, which every role may read. Changes nothing, and judges nothing: `app::doctor` does.

use tokio_postgres::Client;

use super::StoreOptions;
use super::error::transient;
use super::migrate::{SchemaState, connect, state_of};
use super::needs;
use super::sql::quoted;
use crate::store::StoreError;

/// What was found.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// As the server says it, and its major version.
    pub server: String,
    pub major: i32,
    /// It only follows another, and takes no writes.
    pub standby: bool,
    pub role: String,
    /// Or why it cannot be read.
    pub schema: Result<SchemaState, String>,
    /// What the role lacks; of tables that are there.
    pub lacking: Vec<Lacking>,
    /// Of the host's.
    pub missing_tables: Vec<String>,
    /// `table.column`, likewise.
    pub missing_columns: Vec<String>,
    pub broken_indexes: Vec<BrokenIndex>,
    /// The host's: `table`, `column`.
    pub missing_host_indexes: Vec<(String, String)>,
    /// Of [`needs::TRIGGERS`], those there and enabled.
    pub triggers: Vec<String>,
    /// The triggers' function is there: somebody asked for them once.
    pub trigger_wanted: bool,
    /// By the server's own running count.
    pub gazetteer_rows: u64,
}

/// A right that the role has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// `UPDATE on nerd.jobs`.
    pub right: String,
    /// The statement that gives it.
    pub grant: String,
}

/// An index of ours that no statement can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenIndex {
    pub name: String,
    /// It is there, and an interrupted build left it useless.
    pub invalid: bool,
    pub repair: String,
}

const SERVER: &str = "
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int / 10000 AS major,
    pg_is_in_recovery() AS standby, current_user::text AS role";

const RIGHTS: &str = "
SELECT n.schema, n.name, n.privilege, coalesce(has_schema_privilege(s.oid, 'USAGE'), true) AS usage, c.oid IS NOT NULL AS there,
    coalesce(has_table_privilege(c.oid, n.privilege), true) AS granted
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS n (schema, name, privilege, place)
    LEFT JOIN pg_namespace s ON s.nspname = n.schema
    LEFT JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = n.name AND c.relkind IN ('r', 'p', 'v', 'f')
ORDER BY n.place";

/// Of tables that are there.
const COLUMNS: &str = "
SELECT n.name || '.' || n.col AS missing
FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS n (name, col, place)
    JOIN pg_class c ON c.relname = n.name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
WHERE NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = n.col AND a.attnum > 0 AND NOT a.attisdropped)
ORDER BY n.place";

const INDEXES: &str = "
SELECT n.name, i.indexrelid IS NOT NULL AS there, coalesce(i.indisvalid AND i.indisready, false) AS valid
FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place)
    LEFT JOIN pg_class c ON c.relname = n.name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'nerd')
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
ORDER BY n.place";

/// Views and foreign tables have none of their own.
const HOST_INDEXES: &str = "
SELECT n.name, n.col
FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS n (name, col, place)
    JOIN pg_class c ON c.relname = n.name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND c.relkind IN ('r', 'p')
WHERE NOT EXISTS (
    SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND a.attname = n.col)
ORDER BY n.place";

const TRIGGERS: &str = "
SELECT t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace s ON s.oid = c.relnamespace
WHERE s.nspname = $1 AND c.relname = 'articles' AND t.tgname = ANY ($2) AND t.tgenabled IN ('O', 'A') ORDER BY 1";

const REST: &str = "
SELECT EXISTS (SELECT 1 FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace WHERE s.nspname = 'nerd' AND p.proname = 'enqueue') AS wanted,
    coalesce((SELECT greatest(pg_stat_get_live_tuples(c.oid), c.reltuples::bigint) FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
        WHERE s.nspname = $1 AND c.relname = 'gazetteer'), 0) AS gazetteer_rows";

/// Looks at everything; an error is that the database cannot be reached.
pub async fn inspect(options: &StoreOptions) -> Result<Inspection, StoreError> {
    let patience = options.statement_timeout + options.connect_timeout;
    tokio::time::timeout(patience, look(options)).await.unwrap_or_else(|_| Err(transient("timeout", "the server does not answer")))
}

async fn look(options: &StoreOptions) -> Result<Inspection, StoreError> {
    let client = connect(options).await?;
    let host = options.host_schema.as_str();
    let server = client.query_one(SERVER, &[]).await?;
    let role: String = server.get("role");
    let (lacking, missing_tables) = rights(&client, host, &role).await?;
    let (tables, columns): (Vec<&str>, Vec<&str>) = needs::pairs(needs::HOST_COLUMNS).unzip();
    let missing_columns = client.query(COLUMNS, &[&host, &tables, &columns]).await?;
    let (tables, columns): (Vec<&str>, Vec<&str>) = needs::pairs(needs::HOST_INDEXES).unzip();
    let missing_host_indexes = client.query(HOST_INDEXES, &[&host, &tables, &columns]).await?;
    let schema = state_of(&client).await.map_err(|error| error.to_string());
    let rest = client.query_one(REST, &[&host]).await?;
    Ok(Inspection {
        server: server.get("version"),
        major: server.get("major"),
        standby: server.get("standby"),
        broken_indexes: if schema == Ok(SchemaState::Current) { indexes(&client).await? } else { Vec::new() },
        schema,
        lacking,
        missing_tables,
        missing_columns: missing_columns.iter().map(|row| row.get(0)).collect(),
        missing_host_indexes: missing_host_indexes.iter().map(|row| (row.get(0), row.get(1))).collect(),
        triggers: client.query(TRIGGERS, &[&host, &needs::TRIGGERS]).await?.iter().map(|row| row.get(0)).collect(),
        trigger_wanted: rest.get("wanted"),
        gazetteer_rows: u64::try_from(rest.get::<_, i64>("gazetteer_rows")).unwrap_or(0),
        role,
    })
}

/// What the role lacks, a missing way into a schema once; and the host's tables that are not there at all.
async fn rights(client: &Client, host: &str, role: &str) -> Result<(Vec<Lacking>, Vec<String>), StoreError> {
    let own = needs::pairs(needs::OWN_RIGHTS).map(|(table, right)| ("nerd", table, right));
    let hosts = needs::pairs(needs::HOST_RIGHTS).map(|(table, right)| (host, table, right));
    let (mut schemas, mut tables, mut privileges) = (Vec::new(), Vec::new(), Vec::new());
    for (schema, table, privilege) in own.chain(hosts) {
        schemas.push(schema);
        tables.push(table);
        privileges.push(privilege);
    }
    let (mut lacking, mut missing): (Vec<Lacking>, Vec<String>) = (Vec::new(), Vec::new());
    for row in client.query(RIGHTS, &[&schemas, &tables, &privileges]).await? {
        let [schema, table, privilege] = ["schema", "name", "privilege"].map(|column| row.get::<_, &str>(column));
        let (name, role) = (format!("{}.{table}", shown(schema)), shown(role));
        let (right, grant) = match (row.get("usage"), row.get("granted")) {
            (false, _) => (format!("USAGE on schema {schema}"), format!("GRANT USAGE ON SCHEMA {} TO {role}", shown(schema))),
            (true, false) => (format!("{privilege} on {name}"), format!("GRANT {privilege} ON {name} TO {role}")),
            (true, true) => {
                if schema == host && !row.get::<_, bool>("there") && !missing.contains(&name) {
                    missing.push(name);
                }
                continue;
            }
        };
        let found = Lacking { right, grant };
        if !lacking.contains(&found) {
            lacking.push(found);
        }
    }
    Ok((lacking, missing))
}

/// A name as a statement has it, in quotes only where it needs them.
fn shown(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !name.starts_with(|c: char| c.is_ascii_digit()) { name.to_owned() } else { quoted(name) }
}

async fn indexes(client: &Client) -> Result<Vec<BrokenIndex>, StoreError> {
    let names: Vec<&str> = needs::OWN_INDEXES.iter().map(|(name, _)| *name).collect();
    let mut broken = Vec::new();
    for row in client.query(INDEXES, &[&names]).await? {
        let (name, there, valid): (&str, bool, bool) = (row.get("name"), row.get("there"), row.get("valid"));
        let definition = needs::OWN_INDEXES.iter().find(|(own, _)| *own == name).map_or("", |(_, definition)| definition);
        if !valid {
            let repair = if there {
                format!("REINDEX INDEX CONCURRENTLY nerd.{name}")
            } else {
                definition.replacen("INDEX", "INDEX CONCURRENTLY", 1)
            };
            broken.push(BrokenIndex { name: name.to_owned(), invalid: there, repair });
        }
    }
    Ok(broken)
}
