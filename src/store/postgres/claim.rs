//! The claim: one statement, hence one short transaction and one round trip. It takes what is due from the queue, drops what
//! the host's rule no longer allows, and leases the rest under a fresh token. The oldest come first, but for the turns of sources.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::Row;
use uuid::Uuid;

use super::front::{Front, Position};
use super::session::Session;
use super::turn::Turns;
use super::{PostgresStore, milliseconds};
use crate::domain::{ArticleId, Batch, ClaimToken, ClaimedArticle};
use crate::store::{ClaimRequest, StoreError};

/// Text of one claim, bytes: memory stays flat though articles are long. A single longer article is still claimed.
const MOST_TEXT_BYTES: i64 = 4 << 20;

/// A suspect (failed before, or held by several processes that died) is claimed alone, by a process that has nothing else in
/// flight; otherwise those due, oldest first.
///
/// The plan must be the same with good, stale and no statistics, on an empty queue and on a long one. So its shape leaves the
/// planner no choice: the constant limit tells it that a claim is small (of `$4` it knows nothing and supposes a tenth of the
/// queue), each job looks up its article and that one's link where they lay when it was enqueued, and where another row or none is
/// found there, by key (`LIMIT 1` ends the search with the first found and, as `OFFSET 0`, keeps the look-up from becoming a join of
/// whole tables); and what is written is found by its place. A job that somebody changed between this statement's beginning and its
/// lock is not found there; so what was leased is what the update says, and the other waits for the next claim. Only the texts of
/// the leased are sent.
///
/// While something is paused nothing is taken, and the one row that always comes says so.
///
/// Its commit does not wait for the disk: a claim that a crash of the server forgets is a claim that never was, its articles wait
/// in the queue and its token closes no job. (`set_config` holds until this statement's transaction has ended.)
const CLAIM: &str = "
WITH door AS MATERIALIZED (
    SELECT NOT EXISTS (SELECT 1 FROM nerd.pauses WHERE {pauses}) AS open
), suspect AS MATERIALIZED (
    SELECT ctid AS place, {job} FROM nerd.jobs
    WHERE (SELECT open FROM door) AND $9::bool AND state = 'pending' AND quarantined_at IS NULL AND suspect AND {due}
    ORDER BY {order} LIMIT 1 FOR UPDATE SKIP LOCKED
), ordinary AS MATERIALIZED (
    SELECT * FROM (
        SELECT ctid AS place, {job} FROM nerd.jobs
        WHERE (SELECT open FROM door) AND state = 'pending' AND quarantined_at IS NULL AND NOT suspect AND {due} AND {behind}
        ORDER BY {order} LIMIT 1000 FOR UPDATE SKIP LOCKED
    ) AS due WHERE NOT EXISTS (SELECT 1 FROM suspect) LIMIT $4
), checked AS MATERIALIZED (
    SELECT p.place, p.article_id, p.run_at, p.attempts, p.crashes, a.text, a.text_hash, a.source, a.source_id, a.dataset_id, a.claimable,
        sum(octet_length(a.text)) OVER (ORDER BY p.run_at, p.article_id ROWS UNBOUNDED PRECEDING) - octet_length(a.text) AS bytes_before
    FROM (SELECT * FROM suspect UNION ALL SELECT * FROM ordinary) AS p LEFT JOIN LATERAL (
        SELECT a.text, a.text_hash, l.source, l.source_id, l.dataset_id, {claimable} AS claimable
        FROM (
            SELECT {article} FROM {articles} a WHERE a.ctid = p.article_place AND a.id = p.article_id
            UNION ALL SELECT {article} FROM {articles} a WHERE a.id = p.article_id LIMIT 1
        ) AS a CROSS JOIN LATERAL (
            SELECT {link} FROM {links} l WHERE l.ctid = p.link_place AND l.id = a.candidate_link_id
            UNION ALL SELECT {link} FROM {links} l WHERE l.id = a.candidate_link_id LIMIT 1
        ) AS l OFFSET 0
    ) AS a ON true
), dropped AS (
    DELETE FROM nerd.jobs WHERE ctid = ANY (ARRAY(SELECT place FROM checked WHERE claimable IS NOT TRUE))
), leased AS MATERIALIZED (
    UPDATE nerd.jobs SET state = 'leased', token = $1
    WHERE ctid = ANY (ARRAY(SELECT place FROM checked WHERE claimable AND coalesce(bytes_before, 0) < $6)) RETURNING article_id
), lease AS (
    INSERT INTO nerd.leases (token, boot_id, holder, alone, leased_until, article_ids)
    SELECT $1, $2, $3, EXISTS (SELECT 1 FROM suspect), now() + $5 * interval '1 millisecond', array_agg(article_id)
    FROM leased HAVING count(*) > 0
)
SELECT article_id, CASE WHEN leased THEN text END AS text, text_hash, source, source_id, dataset_id, attempts, crashes,
    run_at::text AS run_at, EXISTS (SELECT 1 FROM suspect) AS alone, leased,
    door.open AND NOT $9 AND (SELECT true FROM nerd.jobs
        WHERE state = 'pending' AND quarantined_at IS NULL AND suspect AND {due} ORDER BY {order} LIMIT 1) IS TRUE AS suspect_waits,
    (SELECT set_config('synchronous_commit', 'off', true)) AS relaxed, door.open
FROM door LEFT JOIN (SELECT *, article_id IN (SELECT article_id FROM leased) AS leased FROM checked OFFSET 0) AS seen ON true
ORDER BY seen.run_at, seen.article_id";

/// What a claim reads of a job, of its article (all that the rule of what is claimable names) and of that one's link.
const COLUMNS: [(&str, &str); 3] = [
    ("{job}", "article_id, run_at, attempts, crashes, article_place, link_place"),
    ("{article}", "a.id, a.content, a.text, a.text_hash, a.status, a.candidate_link_id"),
    ("{link}", "l.source, l.source_id, l.dataset_id"),
];

/// Due, behind the front, in order: of all sources, and of the source `$10`. That one is fenced in by rows from both sides and named
/// in the order, so that only an index by source serves: of `source = $10` a planner without statistics thinks that it may as well
/// walk the whole queue and throw the other sources away.
const ALL: [(&str, &str); 4] = [
    ("{pauses}", "scope >= ''"),
    ("{due}", "run_at <= now()"),
    ("{behind}", "run_at >= $7::text::timestamptz AND (run_at, article_id) > ($7::text::timestamptz, $8)"),
    ("{order}", "run_at, article_id"),
];
const ONE: [(&str, &str); 4] = [
    ("{pauses}", "scope IN ('', $10)"),
    ("{due}", "(source, run_at) >= ($10, '-infinity'::timestamptz) AND (source, run_at) <= ($10, now())"),
    ("{behind}", "(source, run_at, article_id) > ($10, $7::text::timestamptz, $8)"),
    ("{order}", "source, run_at, article_id"),
];

/// The statement, but for the host's names: of all sources, or of one.
pub(super) fn claim(of_one_source: bool) -> String {
    let parts = if of_one_source { ONE } else { ALL };
    parts.iter().chain(&COLUMNS).fold(CLAIM.to_owned(), |sql, (name, part)| sql.replace(name, part))
}

/// The next source with articles in the queue, by name; one step into an index by source.
pub(super) const NEXT_SOURCE: &str = "
SELECT source FROM nerd.jobs WHERE source > $1 AND quarantined_at IS NULL AND NOT suspect
ORDER BY source, run_at, article_id LIMIT 1";

impl PostgresStore {
    pub(super) async fn claim_batch(&self, request: &ClaimRequest) -> Result<Batch, StoreError> {
        let session = self.session().await?;
        if request.source.is_none()
            && let Some(batch) = self.claim_in_turn(&session, request).await?
        {
            return Ok(batch);
        }
        match self.claim_behind_front(&session, request).await? {
            (nothing, false) if request.source.is_none() => Ok(self.claim_beside_pauses(&session, request).await?.unwrap_or(nothing)),
            (batch, _) => Ok(batch),
        }
    }

    /// A claim of all sources or of one; false where a pause forbade it.
    pub(super) async fn claim_behind_front(&self, session: &Session<'_>, request: &ClaimRequest) -> Result<(Batch, bool), StoreError> {
        let source = request.source.as_deref();
        loop {
            let started = Instant::now();
            let begin = self.front().begin(source, started);
            let picked = self.lease(session, request, source, begin.clone()).await?;
            let (open, rows) = (picked.open, &picked.rows);
            if open {
                self.move_front(request, begin.is_none().then(|| started.elapsed()), rows);
            }
            let articles = leased(rows);
            // Nothing behind the front, or all that was due had become unclaimable and was dropped: there may be more elsewhere.
            if open && articles.is_empty() && (begin.is_some() || !rows.is_empty()) {
                continue;
            }
            return Ok((picked.batch(articles), open));
        }
    }

    /// A claim of the source whose turn it is; `None` where it is nobody's, or nothing of that source is due.
    async fn claim_in_turn(&self, session: &Session<'_>, request: &ClaimRequest) -> Result<Option<Batch>, StoreError> {
        let backlog = self.front().is_under_way();
        let Some(after) = self.turns().next(backlog) else { return Ok(None) };
        let row = session.query_opt(&self.statements.next_source, &[&after]).await?;
        let source: Option<&str> = row.as_ref().map(|row| row.get(0));
        if !self.turns().found(source) {
            return Ok(None);
        }
        let picked = self.lease(session, request, source, None).await?;
        let articles = leased(&picked.rows);
        Ok(if articles.is_empty() { None } else { Some(picked.batch(articles)) })
    }

    /// The statement itself, of all sources or of one, behind a position or from the head.
    async fn lease(
        &self,
        session: &Session<'_>,
        request: &ClaimRequest,
        source: Option<&str>,
        begin: Option<Position>,
    ) -> Result<Picked, StoreError> {
        let token = Uuid::new_v4();
        let (limit, lease) = (i64::from(request.limit), milliseconds(request.lease));
        let (time, id) = begin.unwrap_or_else(|| ("-infinity".to_owned(), String::new()));
        let mut parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
            vec![&token, &self.claimant.boot_id, &self.claimant.host, &limit, &lease, &MOST_TEXT_BYTES, &time, &id, &request.suspects];
        let sql = match &source {
            Some(source) => {
                parameters.push(source);
                &self.statements.claim_source
            }
            None => &self.statements.claim,
        };
        let mut rows = session.query(sql, &parameters).await?;
        // The first row is there even where nothing was picked.
        let told = |column: &str| rows.first().is_some_and(|row| row.get(column));
        let (open, alone, suspect_waits) = (told("open"), told("alone"), told("suspect_waits"));
        rows.retain(|row| row.get::<_, Option<&str>>("article_id").is_some());
        Ok(Picked { token: ClaimToken(token), rows, open, alone, suspect_waits })
    }

    fn move_front(&self, request: &ClaimRequest, looked_back: Option<Duration>, rows: &[Row]) {
        // A suspect stands in a line of its own.
        if rows.first().is_some_and(|row| row.get("alone")) {
            return;
        }
        let mut front = self.front();
        // What was picked and neither leased nor dropped (too much text for one claim) comes after all that was.
        let last = rows.iter().rfind(|row| row.get("leased")).or(rows.last());
        match last {
            Some(last) if rows.len() >= request.limit as usize => {
                front.advance(request.source.as_deref(), (last.get("run_at"), last.get("article_id")), looked_back, Instant::now());
            }
            _ => front.reset(),
        }
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the statement answered.
struct Picked {
    token: ClaimToken,
    /// An article each, leased or not.
    rows: Vec<Row>,
    /// No pause forbade it.
    open: bool,
    alone: bool,
    suspect_waits: bool,
}

impl Picked {
    fn batch(&self, articles: Vec<ClaimedArticle>) -> Batch {
        Batch { token: self.token, articles, alone: self.alone, suspect_waits: self.suspect_waits }
    }
}

/// What the statement leased of what it picked.
fn leased(rows: &[Row]) -> Vec<ClaimedArticle> {
    rows.iter().filter(|row| row.get("leased")).map(article).collect()
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
