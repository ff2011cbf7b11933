//! What else may become of a lease: renewed, given back, failed, expired. Each one statement, guarded by token or time.

use std::time::Duration;

use super::{PostgresStore, ids, milliseconds};
use crate::backoff::Backoff;
use crate::domain::{ArticleId, ClaimToken, Rejection};
use crate::store::{RejectionOutcome, StoreError, SweepOutcome};

const RENEW: &str = "UPDATE nerd.jobs SET leased_until = now() + $2 * interval '1 millisecond' WHERE state = 'leased' AND token = ANY($1)";

/// Back to the queue, its place kept and no attempt counted.
const RELEASE: &str = "
UPDATE nerd.jobs SET state = 'pending', token = NULL, boot_id = NULL, holder = NULL, alone = false, leased_until = NULL
WHERE state = 'leased' AND token = $1 AND article_id = ANY($2)";

const REJECT: &str = "
UPDATE nerd.jobs j SET
    attempts = j.attempts + r.weight, error = r.error,
    state = CASE WHEN j.attempts + r.weight >= $6 THEN 'quarantined' ELSE 'pending' END,
    quarantined_at = CASE WHEN j.attempts + r.weight >= $6 THEN now() END,
    run_at = now() + r.delay * interval '1 millisecond',
    token = NULL, boot_id = NULL, holder = NULL, alone = false, leased_until = NULL
FROM unnest($2::text[], $3::text[], $4::int[], $5::float8[]) AS r (article_id, error, weight, delay)
WHERE j.article_id = r.article_id AND j.state = 'leased' AND j.token = $1
RETURNING j.article_id, j.state";

/// The process that held it is gone: its death is counted, against the article itself only where it was tried alone.
const SWEEP: &str = "
WITH expired AS MATERIALIZED (
    SELECT article_id FROM nerd.jobs WHERE state = 'leased' AND leased_until < now()
    ORDER BY leased_until LIMIT 1000 FOR UPDATE SKIP LOCKED
)
UPDATE nerd.jobs j SET
    crashes = j.crashes + 1, crashes_alone = j.crashes_alone + j.alone::int,
    state = CASE WHEN j.crashes_alone + j.alone::int >= $1 THEN 'quarantined' ELSE 'pending' END,
    quarantined_at = CASE WHEN j.crashes_alone + j.alone::int >= $1 THEN now() END,
    error = CASE WHEN j.alone THEN format('the process on %s died while it worked on this article alone', j.holder) ELSE j.error END,
    token = NULL, boot_id = NULL, holder = NULL, alone = false, leased_until = NULL
FROM expired e WHERE j.article_id = e.article_id RETURNING j.state";

impl PostgresStore {
    pub(super) async fn renew_leases(&self, tokens: &[ClaimToken], lease: Duration) -> Result<u64, StoreError> {
        let tokens: Vec<uuid::Uuid> = tokens.iter().map(|token| token.0).collect();
        let client = self.client().await?;
        let statement = client.prepare_cached(RENEW).await?;
        Ok(client.execute(&statement, &[&tokens, &milliseconds(lease)]).await?)
    }

    pub(super) async fn release_articles(&self, token: ClaimToken, articles: &[ArticleId]) -> Result<u64, StoreError> {
        let articles: Vec<&ArticleId> = articles.iter().collect();
        let client = self.client().await?;
        let statement = client.prepare_cached(RELEASE).await?;
        let released = client.execute(&statement, &[&token.0, &ids(&articles)]).await?;
        client.execute("SELECT pg_notify('nerd_jobs', '')", &[]).await?;
        Ok(released)
    }

    pub(super) async fn reject_articles(&self, token: ClaimToken, rejections: &[Rejection]) -> Result<RejectionOutcome, StoreError> {
        let backoff = Backoff { base: self.retry.base_delay, cap: self.retry.max_delay };
        let articles: Vec<&ArticleId> = rejections.iter().map(|r| &r.article.id).collect();
        // PostgreSQL's text holds no NUL.
        let errors: Vec<String> = rejections.iter().map(|r| r.error.replace('\0', "\u{fffd}")).collect();
        let weights: Vec<i32> = rejections.iter().map(|r| i32::try_from(r.weight).unwrap_or(i32::MAX / 2)).collect();
        let delays: Vec<f64> = rejections.iter().map(|r| milliseconds(backoff.delay(r.article.attempts, rand::random()))).collect();
        let most = i32::try_from(self.retry.max_attempts).unwrap_or(i32::MAX);
        let client = self.client().await?;
        let statement = client.prepare_cached(REJECT).await?;
        let rows = client.query(&statement, &[&token.0, &ids(&articles), &errors, &weights, &delays, &most]).await?;
        let mut outcome = RejectionOutcome::default();
        for rejection in rejections {
            let id = &rejection.article.id;
            let state = rows.iter().find(|row| row.get::<_, &str>(0) == id.as_str()).map(|row| row.get::<_, &str>(1));
            match state {
                Some("quarantined") => outcome.quarantined.push(id.clone()),
                Some(_) => outcome.retried.push(id.clone()),
                None => outcome.lease_lost.push(id.clone()),
            }
        }
        Ok(outcome)
    }

    pub(super) async fn sweep_expired(&self) -> Result<SweepOutcome, StoreError> {
        let most = i32::try_from(self.retry.max_crashes).unwrap_or(i32::MAX);
        let client = self.client().await?;
        let statement = client.prepare_cached(SWEEP).await?;
        let rows = client.query(&statement, &[&most]).await?;
        let quarantined = rows.iter().filter(|row| row.get::<_, &str>(0) == "quarantined").count() as u64;
        Ok(SweepOutcome { returned: rows.len() as u64 - quarantined, quarantined })
    }
}
