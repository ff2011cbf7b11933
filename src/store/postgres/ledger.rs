//! The load ledger and the queue at a glance: what `prove-loads`, `status` and the gauges read.

use super::PostgresStore;
use crate::store::verdict::ProcessLoads;
use crate::store::{Backlog, LoadRecord, StoreError};

const RECORD: &str = "
INSERT INTO nerd.model_loads (boot_id, host, command, worker, pool_size, model, sha256, reason, seconds, rss_before_bytes, rss_after_bytes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// Rows that a count reads at most; of a longer queue the length is an estimate.
const MOST_COUNTED: i64 = 100_000;

/// Each figure from the head of an index, so that a look costs the same whatever the queue's length: exact up to the bound, and
/// beyond it the server's own running count of the table's rows (set right by each vacuum, lost by a crash until then; then the
/// last vacuum's count serves). Counters kept by every claim and completion would be exact at any length, for a row more to lock
/// and to write in each of them; nobody decides anything by the difference between 1.00 and 1.02 million.
pub(super) const BACKLOG: &str = "
WITH unfinished AS MATERIALIZED (
    SELECT count(*) AS number FROM (SELECT 1 FROM nerd.jobs WHERE quarantined_at IS NULL ORDER BY enqueued_at LIMIT $1::bigint + 1) AS head
), held AS MATERIALIZED (
    SELECT count(*) AS number FROM (
        SELECT 1 FROM nerd.leases l CROSS JOIN LATERAL unnest(l.article_ids) AS of_lease (article_id) CROSS JOIN LATERAL (
            SELECT 1 FROM nerd.jobs j WHERE j.article_id = of_lease.article_id AND j.token = l.token OFFSET 0
        ) AS j LIMIT $1::bigint + 1
    ) AS head
), quarantine AS MATERIALIZED (
    SELECT count(*) AS number FROM (SELECT 1 FROM nerd.jobs WHERE quarantined_at IS NOT NULL ORDER BY quarantined_at LIMIT $1::bigint + 1) AS head
), counted AS (
    SELECT coalesce(nullif(pg_stat_get_live_tuples(oid), 0), reltuples::bigint) AS number FROM pg_class WHERE oid = 'nerd.jobs'::regclass
), ledger AS (
    SELECT count(*) AS loads,
        count(*) FILTER (WHERE worker = 0 AND reason = 'startup' AND command = 'run') AS daemon_starts,
        count(*) FILTER (WHERE worker = 0 AND reason = 'startup' AND command <> 'run') AS job_starts
    FROM nerd.model_loads WHERE loaded_at > now() - interval '24 hours'
), oldest AS (
    SELECT enqueued_at FROM nerd.jobs WHERE quarantined_at IS NULL AND state = 'pending' ORDER BY enqueued_at LIMIT 1
)
SELECT CASE WHEN unfinished.number > $1 THEN greatest(unfinished.number, counted.number - quarantine.number) ELSE unfinished.number END - held.number AS pending,
    held.number AS leased, quarantine.number AS quarantined,
    unfinished.number > $1 OR held.number > $1 OR quarantine.number > $1 AS estimated,
    coalesce((SELECT extract(epoch FROM now() - enqueued_at) FROM oldest), 0)::float8 AS oldest,
    ledger.loads, ledger.daemon_starts, ledger.job_starts
FROM unfinished, held, quarantine, counted, ledger";

const PROCESSES: &str = "
SELECT host, command, boot_id::text, max(pool_size)::bigint AS pool_size,
    count(*) FILTER (WHERE reason = 'startup') AS startup, count(*) FILTER (WHERE reason = 'restart') AS restart,
    count(*) FILTER (WHERE reason = 'rollover') AS rollover,
    to_char(min(loaded_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS first_load
FROM nerd.model_loads WHERE loaded_at > now() - $1 * interval '1 millisecond'
GROUP BY host, command, boot_id ORDER BY min(loaded_at)";

impl PostgresStore {
    pub(super) async fn write_load(&self, record: &LoadRecord) -> Result<(), StoreError> {
        let session = self.session().await?;
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let small = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        session
            .execute(
                RECORD,
                &[
                    &record.boot_id,
                    &record.host,
                    &record.command,
                    &small(record.worker),
                    &small(record.pool_size),
                    &record.model,
                    &record.sha256,
                    &record.reason,
                    &record.seconds,
                    &number(record.rss_before_bytes),
                    &number(record.rss_after_bytes),
                ],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn read_backlog(&self) -> Result<Backlog, StoreError> {
        let session = self.session().await?;
        let row = session.query_one(BACKLOG, &[&MOST_COUNTED]).await?;
        let number = |name: &str| u64::try_from(row.get::<_, i64>(name)).unwrap_or(0);
        Ok(Backlog {
            pending: number("pending"),
            leased: number("leased"),
            quarantined: number("quarantined"),
            estimated: row.get("estimated"),
            oldest_age_seconds: row.get("oldest"),
            model_loads_24h: number("loads"),
            daemon_starts_24h: number("daemon_starts"),
            job_starts_24h: number("job_starts"),
        })
    }

    /// Every process that loaded the model within the last `since`, oldest first.
    pub async fn processes(&self, since: std::time::Duration) -> Result<Vec<ProcessLoads>, StoreError> {
        let session = self.session().await?;
        let rows = session.query(PROCESSES, &[&super::milliseconds(since)]).await?;
        let number = |row: &tokio_postgres::Row, name: &str| u64::try_from(row.get::<_, i64>(name)).unwrap_or(0);
        Ok(rows
            .iter()
            .map(|row| ProcessLoads {
                host: row.get("host"),
                command: row.get("command"),
                boot_id: row.get("boot_id"),
                pool_size: number(row, "pool_size"),
                startup: number(row, "startup"),
                restart: number(row, "restart"),
                rollover: number(row, "rollover"),
                first_load: row.get("first_load"),
            })
            .collect())
    }
}
