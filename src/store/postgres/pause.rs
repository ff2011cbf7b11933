//! Pauses: what people tell the daemons not to claim for now, and take back. A pause is a row; claims look at the rows in the very
//! statement that leases, so every process heeds them from its next claim on, and none needs to be told.

use super::PostgresStore;
use super::session::Session;
use crate::domain::Batch;
use crate::store::{ClaimRequest, Pause, StoreError};

const LIST: &str = "
SELECT scope, reason, said_by, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since
FROM nerd.pauses WHERE scope >= '' ORDER BY scope";

/// Said again, it keeps its beginning. Whether it is new, and whether any article that it concerns is in the queue.
const PAUSE: &str = "
INSERT INTO nerd.pauses AS p (scope, reason, said_by) VALUES ($1, $2, session_user || '@' || $3)
ON CONFLICT (scope) DO UPDATE SET reason = coalesce(excluded.reason, p.reason), said_by = excluded.said_by
RETURNING p.xmax = 0 AS new, $1 = '' OR EXISTS (SELECT 1 FROM nerd.jobs WHERE source = $1 AND quarantined_at IS NULL AND NOT suspect)
    OR EXISTS (SELECT 1 FROM nerd.jobs WHERE source = $1 AND quarantined_at IS NULL AND suspect) AS waited_for";

/// Wakes the daemons if there was something to take back.
const RESUME: &str = "
WITH gone AS (DELETE FROM nerd.pauses WHERE scope = $1 RETURNING scope)
SELECT pg_notify('nerd_jobs', '') FROM gone";

/// The next source by name that is not paused and whose turn would not be in vain: its first ordinary job, or its first suspect if
/// these are asked for, is due. A step into each of two indexes a source, in the server; nothing while everything is paused.
pub(super) const NEXT_OPEN: &str = "
WITH RECURSIVE source AS (
    SELECT $1::text AS name, false AS open
    UNION ALL
    SELECT next.source, next.due AND NOT EXISTS (SELECT 1 FROM nerd.pauses p WHERE p.scope = next.source OFFSET 0)
    FROM source CROSS JOIN LATERAL (
        SELECT head.source, bool_or(head.run_at <= now()) AS due FROM (
            (SELECT j.source, j.run_at FROM nerd.jobs j WHERE j.source > source.name AND j.quarantined_at IS NULL AND NOT j.suspect
                ORDER BY j.source, j.run_at, j.article_id LIMIT 1)
            UNION ALL
            (SELECT j.source, j.run_at FROM nerd.jobs j WHERE $2::bool AND j.source > source.name AND j.quarantined_at IS NULL AND j.suspect
                ORDER BY j.source, j.run_at, j.article_id LIMIT 1)
        ) AS head GROUP BY head.source ORDER BY head.source LIMIT 1
    ) AS next
    WHERE NOT source.open
)
SELECT name FROM source WHERE open AND NOT EXISTS (SELECT 1 FROM nerd.pauses WHERE scope = '')";

/// What became of an order to pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paused {
    /// It was not paused before.
    pub new: bool,
    /// An article that it concerns is in the queue: if none is, the source's name may be a slip.
    pub waited_for: bool,
}

impl PostgresStore {
    /// What is paused, everything first.
    pub(super) async fn read_pauses(&self) -> Result<Vec<Pause>, StoreError> {
        let session = self.session().await?;
        let rows = session.query(LIST, &[]).await?;
        let pause = |row: &tokio_postgres::Row| Pause {
            source: Some(row.get::<_, String>("scope")).filter(|scope| !scope.is_empty()),
            reason: row.get("reason"),
            since: row.get("since"),
            said_by: row.get("said_by"),
        };
        Ok(rows.iter().map(pause).collect())
    }

    /// Nothing of this source, or nothing at all, is claimed from now on.
    pub async fn pause(&self, source: Option<&str>, reason: Option<&str>) -> Result<Paused, StoreError> {
        let session = self.session().await?;
        let row = session.query_one(PAUSE, &[&source.unwrap_or_default(), &reason, &self.claimant.host]).await?;
        Ok(Paused { new: row.get("new"), waited_for: row.get("waited_for") })
    }

    /// Takes that pause back and wakes the daemons; false where there was none.
    pub async fn resume(&self, source: Option<&str>) -> Result<bool, StoreError> {
        let session = self.session().await?;
        Ok(!session.query(RESUME, &[&source.unwrap_or_default()]).await?.is_empty())
    }

    /// A claim while something is paused: of the next source that is not, the sources in turn by their names. To pass over the
    /// articles of a paused source among the oldest of all would cost the more the longer the pause lasts.
    /// `None`: nothing of theirs is due.
    pub(super) async fn claim_beside_pauses(&self, session: &Session<'_>, request: &ClaimRequest) -> Result<Option<Batch>, StoreError> {
        let first = self.turns().last();
        let mut again = false;
        loop {
            let last = self.turns().last();
            let row = session.query_opt(&self.statements.next_open, &[&last, &request.suspects]).await?;
            let source: Option<String> = row.map(|row| row.get(0));
            self.turns().found(source.as_deref());
            match source {
                Some(source) if again && source > first => return Ok(None),
                Some(source) => {
                    let of_source = ClaimRequest { source: Some(source), ..request.clone() };
                    let (batch, _) = self.claim_behind_front(session, &of_source).await?;
                    if !batch.articles.is_empty() {
                        return Ok(Some(batch));
                    }
                }
                None if again || first.is_empty() => return Ok(None),
                None => again = true,
            }
        }
    }
}
