//! What people do with the queue: look at quarantined articles and their reasons, and send them back.

use super::{PostgresStore, milliseconds};
use crate::store::{QuarantineFilter, QuarantineReason, Quarantined, StoreError};

/// Those of a source, or of all; those that came in lately, or whenever.
const FILTER: &str = "quarantined_at IS NOT NULL AND ($1::text IS NULL OR source = $1) AND ($2::float8 IS NULL OR quarantined_at >= now() - $2 * interval '1 millisecond')";

const LIST: &str = "
SELECT article_id, source, attempts, crashes, error,
    to_char(quarantined_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS at
FROM nerd.jobs WHERE {filter} ORDER BY quarantined_at DESC LIMIT $3";

/// The commonest first, and of those alike by their words. The total is of all of them, however many are shown.
const REASONS: &str = "
SELECT error, count(*) AS articles, count(DISTINCT source) AS sources, (sum(count(*)) OVER ())::bigint AS total
FROM nerd.jobs WHERE {filter} GROUP BY error ORDER BY articles DESC, error LIMIT 20";

const RETRY: &str = "
WITH back AS (
    UPDATE nerd.jobs SET state = 'pending', quarantined_at = NULL, attempts = 0, crashes = 0, crashes_alone = 0, run_at = now()
    WHERE quarantined_at IS NOT NULL AND ($1::text[] IS NULL OR article_id = ANY($1)) RETURNING article_id
), told AS (SELECT pg_notify('nerd_jobs', '') FROM (SELECT 1 FROM back LIMIT 1) AS any_back)
SELECT article_id FROM back LEFT JOIN told ON true ORDER BY article_id";

impl PostgresStore {
    /// Quarantined articles, the latest first, at most so many.
    pub async fn quarantine(&self, filter: &QuarantineFilter, limit: u32) -> Result<Vec<Quarantined>, StoreError> {
        let session = self.session().await?;
        let since = filter.since.map(milliseconds);
        let rows = session.query(&LIST.replace("{filter}", FILTER), &[&filter.source, &since, &i64::from(limit)]).await?;
        Ok(rows
            .iter()
            .map(|row| Quarantined {
                article_id: row.get("article_id"),
                source: row.get("source"),
                attempts: row.get("attempts"),
                crashes: row.get("crashes"),
                error: row.get("error"),
                quarantined_at: row.get("at"),
            })
            .collect())
    }

    /// How many are in quarantine, and their twenty commonest errors.
    pub async fn quarantine_reasons(&self, filter: &QuarantineFilter) -> Result<(u64, Vec<QuarantineReason>), StoreError> {
        let session = self.session().await?;
        let since = filter.since.map(milliseconds);
        let rows = session.query(&REASONS.replace("{filter}", FILTER), &[&filter.source, &since]).await?;
        let number = |row: &tokio_postgres::Row, column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        let total = rows.first().map_or(0, |row| number(row, "total"));
        let reasons = rows
            .iter()
            .map(|row| QuarantineReason { error: row.get("error"), articles: number(row, "articles"), sources: number(row, "sources") })
            .collect();
        Ok((total, reasons))
    }

    /// Sends quarantined articles back to the queue, their counts cleared: those named, or all. Returns their ids.
    pub async fn retry(&self, articles: Option<&[String]>) -> Result<Vec<String>, StoreError> {
        let session = self.session().await?;
        let rows = session.query(RETRY, &[&articles]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
