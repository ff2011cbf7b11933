//! The load ledger and the queue at a glance: what `prove-loads`, `status` and the gauges read.

use super::PostgresStore;
use crate::store::verdict::ProcessLoads;
use crate::store::{Backlog, LoadRecord, StoreError};

const RECORD: &str = "
INSERT INTO nerd.model_loads (boot_id, host, command, worker, pool_size, model, sha256, reason, seconds, rss_before_bytes, rss_after_bytes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const BACKLOG: &str = "
SELECT count(*) FILTER (WHERE state = 'pending') AS pending, count(*) FILTER (WHERE state = 'leased') AS leased,
    count(*) FILTER (WHERE state = 'quarantined') AS quarantined,
    COALESCE(extract(epoch FROM now() - min(enqueued_at) FILTER (WHERE state = 'pending')), 0)::float8 AS oldest,
    (SELECT count(*) FROM nerd.model_loads WHERE loaded_at > now() - interval '24 hours') AS loads
FROM nerd.jobs";

const PROCESSES: &str = "
SELECT host, command, boot_id::text, max(pool_size)::bigint AS pool_size,
    count(*) FILTER (WHERE reason = 'startup') AS startup, count(*) FILTER (WHERE reason = 'restart') AS restart,
    count(*) FILTER (WHERE reason = 'rollover') AS rollover,
    to_char(min(loaded_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS first_load
FROM nerd.model_loads WHERE loaded_at > now() - $1 * interval '1 millisecond'
GROUP BY host, command, boot_id ORDER BY min(loaded_at)";

impl PostgresStore {
    pub(super) async fn write_load(&self, record: &LoadRecord) -> Result<(), StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(RECORD).await?;
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let small = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        client
            .execute(
                &statement,
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
        let client = self.client().await?;
        let statement = client.prepare_cached(BACKLOG).await?;
        let row = client.query_one(&statement, &[]).await?;
        let number = |name: &str| u64::try_from(row.get::<_, i64>(name)).unwrap_or(0);
        Ok(Backlog {
            pending: number("pending"),
            leased: number("leased"),
            quarantined: number("quarantined"),
            oldest_age_seconds: row.get("oldest"),
            model_loads_24h: number("loads"),
        })
    }

    /// Every process that loaded the model within the last `since`, oldest first.
    pub async fn processes(&self, since: std::time::Duration) -> Result<Vec<ProcessLoads>, StoreError> {
        let client = self.client().await?;
        let rows = client.query(PROCESSES, &[&super::milliseconds(since)]).await?;
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
