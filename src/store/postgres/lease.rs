//! What else may become of a lease: renewed, given back, failed, expired. Each one statement, guarded by token or time.

use std::time::Duration;

use super::{PostgresStore, ids, milliseconds};
use crate::backoff::Backoff;
use crate::domain::{ArticleId, ClaimToken, Rejection};
use crate::store::{RejectionOutcome, StoreError, SweepOutcome};

/// Leases of one sweep: more wait for the next.
const MOST_SWEPT: usize = 1_000;

pub(super) const RENEW: &str = "UPDATE nerd.leases SET leased_until = now() + $2 * interval '1 millisecond' WHERE token = ANY ($1)";

/// `{held}`: a lease is locked before its jobs, by whoever settles some and by the sweep, so that who waits for whom is always the
/// same. `{settled}`: it goes with the last of its jobs; `closed` are those that the statement itself takes out.
const HELD: &str = "held AS MATERIALIZED (
    SELECT token, article_ids FROM nerd.leases WHERE token = $1 FOR UPDATE
)";
const SETTLED: &str = "settled AS (
    DELETE FROM nerd.leases WHERE token = (SELECT token FROM held) AND NOT EXISTS (
        SELECT 1 FROM held h CROSS JOIN LATERAL unnest(h.article_ids) AS r (article_id) CROSS JOIN LATERAL (
            SELECT 1 FROM nerd.jobs j WHERE j.article_id = r.article_id AND j.token = h.token OFFSET 0
        ) AS j WHERE (r.article_id IN (SELECT article_id FROM closed)) IS NOT TRUE
    )
)";

/// A statement that settles jobs of the claim `$1`.
pub(super) fn settling(template: &str) -> String {
    template.replace("{held}", HELD).replace("{settled}", SETTLED)
}

/// Back to the queue, its place kept and no attempt counted; whoever listens is told.
pub(super) const RELEASE: &str = "
WITH {held}, closed AS MATERIALIZED (
    UPDATE nerd.jobs SET state = 'pending', token = NULL
    WHERE article_id = ANY ($2) AND state = 'leased' AND token = (SELECT token FROM held) RETURNING article_id
), {settled}
SELECT count(*) AS released, pg_notify('nerd_jobs', '') FROM closed";

pub(super) const REJECT: &str = "
WITH {held}, closed AS MATERIALIZED (
    UPDATE nerd.jobs j SET
        attempts = j.attempts + r.weight, error = r.error,
        state = CASE WHEN j.attempts + r.weight >= $6 THEN 'quarantined' ELSE 'pending' END,
        quarantined_at = CASE WHEN j.attempts + r.weight >= $6 THEN now() END,
        run_at = now() + r.delay * interval '1 millisecond',
        token = NULL
    FROM unnest($2::text[], $3::text[], $4::int[], $5::float8[]) AS r (article_id, error, weight, delay)
    WHERE j.article_id = r.article_id AND j.state = 'leased' AND j.token = (SELECT token FROM held)
    RETURNING j.article_id, j.state
), {settled}
SELECT article_id, state FROM closed";

/// The process that held it is gone: its death is counted, against the article itself only where it was tried alone. One lease a
/// statement; what was settled meanwhile has another token, or none.
pub(super) const SWEEP: &str = "
WITH expired AS MATERIALIZED (
    SELECT token, holder, alone, article_ids FROM nerd.leases WHERE leased_until < now()
    ORDER BY leased_until LIMIT 1 FOR UPDATE SKIP LOCKED
), ended AS (
    DELETE FROM nerd.leases WHERE token = (SELECT token FROM expired)
), returned AS (
    UPDATE nerd.jobs SET
        crashes = crashes + 1, crashes_alone = crashes_alone + (SELECT alone::int FROM expired),
        state = CASE WHEN crashes_alone + (SELECT alone::int FROM expired) >= $1 THEN 'quarantined' ELSE 'pending' END,
        quarantined_at = CASE WHEN crashes_alone + (SELECT alone::int FROM expired) >= $1 THEN now() END,
        error = CASE WHEN (SELECT alone FROM expired)
            THEN format('the process on %s died while it worked on this article alone', (SELECT holder FROM expired)) ELSE error END,
        token = NULL
    WHERE article_id = ANY ((SELECT article_ids FROM expired)::text[]) AND token = (SELECT token FROM expired) RETURNING state
)
SELECT (SELECT count(*) FROM expired) AS leases, count(*) FILTER (WHERE state = 'pending') AS returned,
    count(*) FILTER (WHERE state = 'quarantined') AS quarantined
FROM returned";

impl PostgresStore {
    pub(super) async fn renew_leases(&self, tokens: &[ClaimToken], lease: Duration) -> Result<u64, StoreError> {
        let tokens: Vec<uuid::Uuid> = tokens.iter().map(|token| token.0).collect();
        let session = self.session().await?;
        session.execute(RENEW, &[&tokens, &milliseconds(lease)]).await
    }

    pub(super) async fn release_articles(&self, token: ClaimToken, articles: &[ArticleId]) -> Result<u64, StoreError> {
        let articles: Vec<&ArticleId> = articles.iter().collect();
        let session = self.session().await?;
        let row = session.query_one(&self.statements.release, &[&token.0, &ids(&articles)]).await?;
        Ok(u64::try_from(row.get::<_, i64>("released")).unwrap_or(0))
    }

    pub(super) async fn reject_articles(&self, token: ClaimToken, rejections: &[Rejection]) -> Result<RejectionOutcome, StoreError> {
        let backoff = Backoff { base: self.retry.base_delay, cap: self.retry.max_delay };
        let articles: Vec<&ArticleId> = rejections.iter().map(|r| &r.article.id).collect();
        // PostgreSQL's text holds no NUL.
        let errors: Vec<String> = rejections.iter().map(|r| r.error.replace('\0', "\u{fffd}")).collect();
        let weights: Vec<i32> = rejections.iter().map(|r| i32::try_from(r.weight).unwrap_or(i32::MAX / 2)).collect();
        let delays: Vec<f64> = rejections.iter().map(|r| milliseconds(backoff.delay(r.article.attempts, rand::random()))).collect();
        let most = i32::try_from(self.retry.max_attempts).unwrap_or(i32::MAX);
        let session = self.session().await?;
        let rows = session.query(&self.statements.reject, &[&token.0, &ids(&articles), &errors, &weights, &delays, &most]).await?;
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
        let session = self.session().await?;
        let mut outcome = SweepOutcome::default();
        for _ in 0..MOST_SWEPT {
            let row = session.query_one(SWEEP, &[&most]).await?;
            let number = |name: &str| u64::try_from(row.get::<_, i64>(name)).unwrap_or(0);
            outcome.returned += number("returned");
            outcome.quarantined += number("quarantined");
            if number("leases") == 0 {
                break;
            }
        }
        Ok(outcome)
    }
}
