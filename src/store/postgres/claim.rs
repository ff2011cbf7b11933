//! The claim: one statement, hence one short transaction and one round trip. It takes what is due from the queue, drops what
//! the host's rule no longer allows, and leases the rest under a fresh token.

use tokio_postgres::Row;
use uuid::Uuid;

use super::{PostgresStore, milliseconds};
use crate::domain::{ArticleId, Batch, ClaimToken, ClaimedArticle};
use crate::store::{ClaimRequest, StoreError};

/// Text of one claim, bytes: memory stays flat though articles are long. A single longer article is still claimed.
const MOST_TEXT_BYTES: i64 = 4 << 20;

/// A suspect (failed before, or held by several processes that died) is claimed alone; otherwise those due, oldest first.
pub(super) const CLAIM: &str = "
WITH suspect AS MATERIALIZED (
    SELECT article_id, run_at, attempts, crashes, true AS alone FROM nerd.jobs
    WHERE state = 'pending' AND suspect AND run_at <= now() AND {source}
    ORDER BY run_at, article_id LIMIT 1 FOR UPDATE SKIP LOCKED
), ordinary AS MATERIALIZED (
    SELECT article_id, run_at, attempts, crashes, false AS alone FROM nerd.jobs
    WHERE state = 'pending' AND NOT suspect AND run_at <= now() AND {source} AND NOT EXISTS (SELECT 1 FROM suspect)
    ORDER BY run_at, article_id LIMIT $4 FOR UPDATE SKIP LOCKED
), picked AS (
    SELECT * FROM suspect UNION ALL SELECT * FROM ordinary
), checked AS MATERIALIZED (
    SELECT p.article_id, p.run_at, p.attempts, p.crashes, p.alone, a.text, a.text_hash, l.source, l.source_id, l.dataset_id,
        l.id IS NOT NULL AND {claimable} AS claimable,
        sum(octet_length(a.text)) OVER (ORDER BY p.run_at, p.article_id ROWS UNBOUNDED PRECEDING) - octet_length(a.text) AS bytes_before
    FROM picked p LEFT JOIN {articles} a ON a.id = p.article_id LEFT JOIN {links} l ON l.id = a.candidate_link_id
), dropped AS (
    DELETE FROM nerd.jobs j USING checked c WHERE j.article_id = c.article_id AND c.claimable IS NOT TRUE
), leased AS (
    UPDATE nerd.jobs j SET state = 'leased', token = $1, boot_id = $2, holder = $3, alone = c.alone,
        leased_until = now() + $5 * interval '1 millisecond'
    FROM checked c WHERE j.article_id = c.article_id AND c.claimable AND coalesce(c.bytes_before, 0) < $6
)
SELECT article_id, text, text_hash, source, source_id, dataset_id, attempts, crashes,
    claimable IS TRUE AND coalesce(bytes_before, 0) < $6 AS leased
FROM checked ORDER BY run_at, article_id";

impl PostgresStore {
    pub(super) async fn claim_batch(&self, request: &ClaimRequest) -> Result<Batch, StoreError> {
        let client = self.client().await?;
        let sql = if request.source.is_some() { &self.statements.claim_source } else { &self.statements.claim };
        let statement = client.prepare_cached(sql).await?;
        loop {
            let token = Uuid::new_v4();
            let (limit, lease) = (i64::from(request.limit), milliseconds(request.lease));
            let mut parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
                vec![&token, &self.claimant.boot_id, &self.claimant.host, &limit, &lease, &MOST_TEXT_BYTES];
            if let Some(source) = &request.source {
                parameters.push(source);
            }
            let rows = client.query(&statement, &parameters).await?;
            let articles: Vec<ClaimedArticle> = rows.iter().filter(|row| row.get("leased")).map(article).collect();
            // All that was due had become unclaimable and was dropped: there may be more behind it.
            if articles.is_empty() && !rows.is_empty() {
                continue;
            }
            return Ok(Batch { token: ClaimToken(token), articles });
        }
    }
}

fn article(row: &Row) -> ClaimedArticle {
    ClaimedArticle {
        id: ArticleId::new(row.get::<_, String>("article_id")),
        text: row.get::<_, String>("text").into(),
        text_hash: row.get("text_hash"),
        source: row.get("source"),
        source_id: row.get("source_id"),
        dataset_id: row.get("dataset_id"),
        attempts: u32::try_from(row.get::<_, i32>("attempts")).unwrap_or(0),
        crashes: u32::try_from(row.get::<_, i32>("crashes")).unwrap_or(0),
    }
}
