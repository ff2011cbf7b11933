//! Finds claimable articles by the host's own rule, where no trigger tells: an incremental walk along the indexed
//! `extracted_at`, and seldom a walk over the whole table along its primary key. One process at a time: a walk locks its row.

use std::time::Duration;

use super::{PostgresStore, milliseconds};
use crate::store::StoreError;

/// Rows become visible when their transaction commits, not at their `extracted_at`: the walk begins this long before its end.
const OVERLAP: &str = "10 minutes";
/// Pages of one call: a long backlog leaves room for other work between calls.
const MOST_PAGES: usize = 20;

/// One page of the incremental walk: its row locked (or nothing done), what is new enqueued, the position moved. Each in one
/// statement, hence one transaction and one round trip. The articles hang on the position's row, which keeps the planner on the
/// index of their time. At the end the position stays the overlap before now: what commits late is seen by the next walk.
pub(super) const PAGE: &str = "
WITH position AS MATERIALIZED (
    SELECT position_time, position_id FROM nerd.discovery WHERE walk = 'incremental' FOR UPDATE SKIP LOCKED
), page AS MATERIALIZED (
    SELECT a.* FROM position p CROSS JOIN LATERAL (
        SELECT a.id, a.ctid AS place, a.extracted_at, a.candidate_link_id, {claimable} AS claimable FROM {articles} a
        WHERE a.extracted_at >= p.position_time AND (a.extracted_at, a.id) > (p.position_time, p.position_id)
        ORDER BY a.extracted_at, a.id LIMIT $1
    ) AS a
), enqueued AS ({enqueue}
), last AS (
    SELECT extracted_at, id FROM page ORDER BY extracted_at DESC, id DESC LIMIT 1
), pace AS (
    SELECT (SELECT count(*) FROM page) AS seen, (now() AT TIME ZONE 'UTC') - interval '{overlap}' AS latest
), moved AS (
    UPDATE nerd.discovery d SET
        finished_at = CASE WHEN pace.seen < $1 THEN now() ELSE d.finished_at END,
        position_time = CASE WHEN pace.seen < $1 THEN LEAST(coalesce(last.extracted_at, d.position_time), pace.latest) ELSE last.extracted_at END,
        position_id = CASE
            WHEN pace.seen = $1 OR last.extracted_at < pace.latest THEN last.id
            WHEN last.extracted_at IS NULL AND d.position_time <= pace.latest THEN d.position_id
            ELSE '' END
    FROM position p CROSS JOIN pace LEFT JOIN last ON true WHERE d.walk = 'incremental'
)
SELECT pace.seen, (SELECT count(*) FROM enqueued) AS found FROM position CROSS JOIN pace";

/// One chunk of the walk over the whole table, if one is due and nobody else walks.
pub(super) const CHUNK: &str = "
WITH position AS MATERIALIZED (
    SELECT position_id FROM nerd.discovery WHERE walk = 'reconcile'
        AND (position_id <> '' OR finished_at <= now() - $2 * interval '1 millisecond') FOR UPDATE SKIP LOCKED
), page AS MATERIALIZED (
    SELECT a.* FROM position p CROSS JOIN LATERAL (
        SELECT a.id, a.ctid AS place, a.extracted_at, a.candidate_link_id, {claimable} AS claimable FROM {articles} a
        WHERE a.id > p.position_id ORDER BY a.id LIMIT $1
    ) AS a
), enqueued AS ({enqueue}
), pace AS (
    SELECT (SELECT count(*) FROM page) AS seen, (SELECT max(id) FROM page) AS last_id
), moved AS (
    UPDATE nerd.discovery d SET
        finished_at = CASE WHEN pace.seen < $1 THEN now() ELSE d.finished_at END,
        position_id = CASE WHEN pace.seen < $1 THEN '' ELSE pace.last_id END
    FROM position p CROSS JOIN pace WHERE d.walk = 'reconcile'
)
SELECT pace.seen, (SELECT count(*) FROM enqueued) AS found FROM position CROSS JOIN pace";

/// What both walks do with a page.
const ENQUEUE: &str = "
    INSERT INTO nerd.jobs (article_id, source, run_at, article_place, link_place)
    SELECT p.id, l.source, LEAST(now(), p.extracted_at AT TIME ZONE 'UTC'), p.place, l.place
    FROM page p CROSS JOIN LATERAL (SELECT l.source, l.ctid AS place FROM {links} l WHERE l.id = p.candidate_link_id OFFSET 0) AS l
    WHERE p.claimable AND NOT EXISTS (SELECT 1 FROM nerd.jobs j WHERE j.article_id = p.id OFFSET 0)
    ON CONFLICT (article_id) DO NOTHING RETURNING 1";

/// A walk's statement, but for the host's names.
pub(super) fn walk(template: &str) -> String {
    template.replace("{enqueue}", ENQUEUE).replace("{overlap}", OVERLAP)
}

impl PostgresStore {
    pub(super) async fn walk_recent(&self) -> Result<u64, StoreError> {
        let session = self.session().await?;
        let limit = i64::from(self.discovery_chunk);
        let mut found = 0;
        for _ in 0..MOST_PAGES {
            // No row: another process walks.
            let Some(row) = session.query_opt(&self.statements.page, &[&limit]).await? else { break };
            found += u64::try_from(row.get::<_, i64>("found")).unwrap_or(0);
            if row.get::<_, i64>("seen") < limit {
                break;
            }
        }
        Ok(found)
    }

    pub(super) async fn walk_all(&self, every: Duration) -> Result<Option<u64>, StoreError> {
        let session = self.session().await?;
        let row = session.query_opt(&self.statements.chunk, &[&i64::from(self.discovery_chunk), &milliseconds(every)]).await?;
        Ok(row.map(|row| u64::try_from(row.get::<_, i64>("found")).unwrap_or(0)))
    }
}
