//! Where one article stands, for a person who asks: the host's row, its job and lease, and the rows that were written for it. Reads only.

use serde::Serialize;
use tokio_postgres::Row;

use super::PostgresStore;
use super::sample::StandingRow;
use super::sql::fill;
use crate::domain::{ArticleId, ClaimedArticle};
use crate::store::StoreError;

const ARTICLE: &str = "
SELECT a.id, a.status, a.content IS NOT NULL AS has_content, a.text, a.text_hash, l.source, l.source_id, l.dataset_id,
    ({claimable}) IS TRUE AND l.source IS NOT NULL AS claimable, to_char(a.extracted_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS extracted_at
FROM {articles} a LEFT JOIN LATERAL (
    SELECT l.source, l.source_id, l.dataset_id FROM {links} l WHERE l.id = a.candidate_link_id OFFSET 0
) AS l ON true WHERE a.id = $1";

const JOB: &str = "
SELECT j.source, j.state, j.attempts, j.crashes, j.crashes_alone, j.suspect, j.error, j.run_at <= now() AS due,
    to_char(j.enqueued_at AT TIME ZONE 'UTC', {form}) AS enqueued_at, to_char(j.run_at AT TIME ZONE 'UTC', {form}) AS run_at,
    to_char(j.quarantined_at AT TIME ZONE 'UTC', {form}) AS quarantined_at, l.holder, l.boot_id::text AS boot_id, l.alone,
    to_char(l.leased_until AT TIME ZONE 'UTC', {form}) AS leased_until, l.leased_until < now() AS run_out,
    cardinality(l.article_ids)::bigint AS claimed_with
FROM nerd.jobs j LEFT JOIN LATERAL (SELECT * FROM nerd.leases l WHERE l.token = j.token OFFSET 0) AS l ON true WHERE j.article_id = $1";
const FORM: &str = "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'";

const ROWS: &str = "
SELECT e.entity_text, e.entity_norm, e.entity_label, e.osm_category, e.osm_subcategory, e.match_name, e.extractor_version, e.confidence,
    e.match_score, e.meta ->> 'start_char' AS start_char, e.meta ->> 'end_char' AS end_char,
    to_char(e.created_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS created_at
FROM {entities} e WHERE e.article_id = $1";

/// The host's article; its text is in `article`, empty where it has none.
#[derive(Clone, Debug)]
pub struct Standing {
    pub article: ClaimedArticle,
    pub has_text: bool,
    pub has_content: bool,
    pub status: String,
    pub extracted_at: Option<String>,
    /// The host's rule allows a claim.
    pub claimable: bool,
    pub job: Option<StandingJob>,
    /// In the order of their versions and places.
    pub rows: Vec<PlacedRow>,
}

/// Its job; times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StandingJob {
    pub source: String,
    pub state: String,
    /// It may be claimed by its time.
    pub due: bool,
    pub enqueued_at: String,
    pub run_at: String,
    pub attempts: i32,
    pub crashes: i32,
    pub crashes_alone: i32,
    /// Tried alone from now on.
    pub suspect: bool,
    pub error: Option<String>,
    pub quarantined_at: Option<String>,
    pub lease: Option<StandingLease>,
}

/// The claim that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StandingLease {
    pub holder: String,
    pub boot_id: String,
    pub alone: bool,
    pub leased_until: String,
    /// Nobody renewed it: the next sweep takes it back.
    pub run_out: bool,
    /// Articles of that claim.
    pub claimed_with: i64,
}

/// A row with its place in the text, where it says one.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedRow {
    pub row: StandingRow,
    pub confidence: Option<f64>,
    pub match_score: Option<f64>,
    /// Code points of the stored text.
    pub start: Option<usize>,
    pub end: Option<usize>,
    pub created_at: String,
}

impl PlacedRow {
    /// Of a query that names its columns as the one above.
    pub(super) fn of(row: &Row) -> Self {
        let place = |column: &str| row.get::<_, Option<&str>>(column).and_then(|place| place.parse().ok());
        Self {
            row: StandingRow::of(row),
            confidence: row.get("confidence"),
            match_score: row.get("match_score"),
            start: place("start_char"),
            end: place("end_char"),
            created_at: row.get("created_at"),
        }
    }
}

impl PostgresStore {
    /// All there is of an article; `None` where the host has none of that id.
    pub async fn standing(&self, id: &ArticleId) -> Result<Option<Standing>, StoreError> {
        let session = self.session().await?;
        let Some(found) = session.query_opt(&fill(ARTICLE, &self.host_schema), &[&id.as_str()]).await? else { return Ok(None) };
        let job = session.query_opt(&JOB.replace("{form}", FORM), &[&id.as_str()]).await?.as_ref().map(job);
        let mut rows: Vec<PlacedRow> =
            session.query(&fill(ROWS, &self.host_schema), &[&id.as_str()]).await?.iter().map(PlacedRow::of).collect();
        rows.sort_by(|one, two| (&one.row.extractor_version, one.start).cmp(&(&two.row.extractor_version, two.start)));
        let text: Option<String> = found.get("text");
        let counter = |of: fn(&StandingJob) -> i32| job.as_ref().map_or(0, |job| u32::try_from(of(job)).unwrap_or(0));
        Ok(Some(Standing {
            has_text: text.is_some(),
            has_content: found.get("has_content"),
            status: found.get("status"),
            extracted_at: found.get("extracted_at"),
            claimable: found.get("claimable"),
            article: ClaimedArticle {
                id: id.clone(),
                text: text.unwrap_or_default().into(),
                text_hash: found.get("text_hash"),
                source: found.get::<_, Option<String>>("source").unwrap_or_default(),
                source_id: found.get("source_id"),
                dataset_id: found.get("dataset_id"),
                attempts: counter(|job| job.attempts),
                crashes: counter(|job| job.crashes),
            },
            job,
            rows,
        }))
    }
}

fn job(row: &Row) -> StandingJob {
    let lease = row.get::<_, Option<String>>("holder").map(|holder| StandingLease {
        holder,
        boot_id: row.get("boot_id"),
        alone: row.get("alone"),
        leased_until: row.get("leased_until"),
        run_out: row.get("run_out"),
        claimed_with: row.get("claimed_with"),
    });
    StandingJob {
        source: row.get("source"),
        state: row.get("state"),
        due: row.get("due"),
        enqueued_at: row.get("enqueued_at"),
        run_at: row.get("run_at"),
        attempts: row.get("attempts"),
        crashes: row.get("crashes"),
        crashes_alone: row.get("crashes_alone"),
        suspect: row.get("suspect"),
        error: row.get("error"),
        quarantined_at: row.get("quarantined_at"),
        lease,
    }
}
