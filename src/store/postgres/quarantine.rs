//! What people do with the queue: look at quarantined articles, and send them back.

use super::PostgresStore;
use crate::store::{Quarantined, StoreError};

const LIST: &str = "
SELECT article_id, source, attempts, crashes, error,
    to_char(quarantined_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS at
FROM nerd.jobs WHERE quarantined_at IS NOT NULL ORDER BY quarantined_at DESC LIMIT $1";

const RETRY: &str = "
WITH back AS (
    UPDATE nerd.jobs SET state = 'pending', quarantined_at = NULL, attempts = 0, crashes = 0, crashes_alone = 0, run_at = now()
    WHERE quarantined_at IS NOT NULL AND ($1::text[] IS NULL OR article_id = ANY($1)) RETURNING article_id
), told AS (SELECT pg_notify('nerd_jobs', '') FROM (SELECT 1 FROM back LIMIT 1) AS any_back)
SELECT article_id FROM back LEFT JOIN told ON true ORDER BY article_id";

impl PostgresStore {
    pub(super) async fn read_quarantine(&self, limit: u32) -> Result<Vec<Quarantined>, StoreError> {
        let session = self.session().await?;
        let rows = session.query(LIST, &[&i64::from(limit)]).await?;
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

    /// Sends quarantined articles back to the queue, their counts cleared: those named, or all. Returns their ids.
    pub async fn retry(&self, articles: Option<&[String]>) -> Result<Vec<String>, StoreError> {
        let session = self.session().await?;
        let rows = session.query(RETRY, &[&articles]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
