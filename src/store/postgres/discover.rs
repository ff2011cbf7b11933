//! Finds claimable articles by the host's own rule, where no trigger tells: an incremental walk along the indexed
//! `extracted_at`, and seldom a walk over the whole table along its primary key. One process at a time: a walk locks its row.

use std::time::Duration;

use super::{PostgresStore, milliseconds};
use crate::store::StoreError;

/// Rows become visible when their transaction commits, not at their `extracted_at`: the walk begins this long before its end.
const OVERLAP: &str = "interval '10 minutes'";
/// Pages of one call: a long backlog leaves room for other work between calls.
const MOST_PAGES: usize = 20;

const POSITION: &str = "SELECT position_time::text, position_id FROM nerd.discovery WHERE walk = 'incremental' FOR UPDATE SKIP LOCKED";

pub(super) const PAGE: &str = "
WITH page AS MATERIALIZED (
    SELECT a.id, a.extracted_at, a.candidate_link_id, {claimable} AND NOT EXISTS (SELECT 1 FROM nerd.jobs j WHERE j.article_id = a.id) AS wanted
    FROM {articles} a WHERE a.extracted_at >= $1::text::timestamp AND (a.extracted_at, a.id) > ($1::text::timestamp, $2::text)
    ORDER BY a.extracted_at, a.id LIMIT $3
), enqueued AS (
    INSERT INTO nerd.jobs (article_id, source, run_at)
    SELECT p.id, l.source, LEAST(now(), p.extracted_at AT TIME ZONE 'UTC')
    FROM page p JOIN {links} l ON l.id = p.candidate_link_id WHERE p.wanted
    ON CONFLICT (article_id) DO NOTHING RETURNING 1
), last AS (
    SELECT extracted_at, id FROM page ORDER BY extracted_at DESC, id DESC LIMIT 1
)
SELECT (SELECT count(*) FROM page) AS seen, (SELECT count(*) FROM enqueued) AS found,
    (SELECT extracted_at::text FROM last) AS last_time, (SELECT id FROM last) AS last_id";

pub(super) const CHUNK: &str = "
WITH page AS MATERIALIZED (
    SELECT a.id, a.extracted_at, a.candidate_link_id, {claimable} AND NOT EXISTS (SELECT 1 FROM nerd.jobs j WHERE j.article_id = a.id) AS wanted
    FROM {articles} a WHERE a.id > $1 ORDER BY a.id LIMIT $2
), enqueued AS (
    INSERT INTO nerd.jobs (article_id, source, run_at)
    SELECT p.id, l.source, LEAST(now(), p.extracted_at AT TIME ZONE 'UTC')
    FROM page p JOIN {links} l ON l.id = p.candidate_link_id WHERE p.wanted
    ON CONFLICT (article_id) DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM page) AS seen, (SELECT count(*) FROM enqueued) AS found, (SELECT max(id) FROM page) AS last_id";

impl PostgresStore {
    pub(super) async fn walk_recent(&self) -> Result<u64, StoreError> {
        let mut client = self.client().await?;
        let page = client.prepare_cached(&self.statements.page).await?;
        let limit = i64::from(self.discovery_chunk);
        let mut found = 0;
        for _ in 0..MOST_PAGES {
            let transaction = client.transaction().await?;
            let Some(position) = transaction.query_opt(POSITION, &[]).await? else { return Ok(found) };
            let (time, id): (&str, &str) = (position.get(0), position.get(1));
            let row = transaction.query_one(&page, &[&time, &id, &limit]).await?;
            let seen: i64 = row.get("seen");
            found += u64::try_from(row.get::<_, i64>("found")).unwrap_or(0);
            let ended = seen < limit;
            if ended {
                // Never later than the overlap before now: what commits late is seen by the next walk.
                let update = format!(
                    "UPDATE nerd.discovery SET finished_at = now(),
                        position_time = LEAST(COALESCE($1::text::timestamp, position_time), (now() AT TIME ZONE 'UTC') - {OVERLAP}),
                        position_id = CASE WHEN $1::text::timestamp < (now() AT TIME ZONE 'UTC') - {OVERLAP} THEN $2::text
                            WHEN $1::text IS NULL THEN position_id ELSE '' END
                     WHERE walk = 'incremental'"
                );
                let last = (row.get::<_, Option<&str>>("last_time"), row.get::<_, Option<&str>>("last_id"));
                transaction.execute(&update, &[&last.0, &last.1]).await?;
            } else {
                let last = row.get::<_, &str>("last_time");
                let id: &str = row.get("last_id");
                let update = "UPDATE nerd.discovery SET position_time = $1::text::timestamp, position_id = $2 WHERE walk = 'incremental'";
                transaction.execute(update, &[&last, &id]).await?;
            }
            transaction.commit().await?;
            if ended {
                break;
            }
        }
        Ok(found)
    }

    pub(super) async fn walk_all(&self, every: Duration) -> Result<Option<u64>, StoreError> {
        let mut client = self.client().await?;
        let chunk = client.prepare_cached(&self.statements.chunk).await?;
        let transaction = client.transaction().await?;
        let due = transaction
            .query_opt(
                "SELECT position_id FROM nerd.discovery WHERE walk = 'reconcile'
                 AND (position_id <> '' OR finished_at <= now() - $1 * interval '1 millisecond') FOR UPDATE SKIP LOCKED",
                &[&milliseconds(every)],
            )
            .await?;
        let Some(position) = due else { return Ok(None) };
        let limit = i64::from(self.discovery_chunk);
        let row = transaction.query_one(&chunk, &[&position.get::<_, &str>(0), &limit]).await?;
        if row.get::<_, i64>("seen") < limit {
            transaction.execute("UPDATE nerd.discovery SET position_id = '', finished_at = now() WHERE walk = 'reconcile'", &[]).await?;
        } else {
            let last: &str = row.get("last_id");
            transaction.execute("UPDATE nerd.discovery SET position_id = $1 WHERE walk = 'reconcile'", &[&last]).await?;
        }
        transaction.commit().await?;
        Ok(Some(u64::try_from(row.get::<_, i64>("found")).unwrap_or(0)))
    }
}
