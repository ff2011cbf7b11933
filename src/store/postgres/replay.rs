//! Articles that are done, page by page, with the rows that stand for them: what another model is compared with. Reads only.

use super::PostgresStore;
use super::explain::PlacedRow;
use super::sql::fill;
use crate::domain::{ArticleId, ClaimedArticle, ExtractorVersion};
use crate::store::StoreError;

/// Those with a row since then of another version than the shadow's, or of the one asked for; the last done first.
const DONE: &str = "
SELECT e.article_id FROM {entities} e
WHERE e.created_at >= $1::text::timestamptz AT TIME ZONE 'UTC' AND e.extractor_version IS DISTINCT FROM $2::text
    AND ($3::text IS NULL OR e.extractor_version = $3::text)
    AND ($4::text IS NULL OR EXISTS (
        SELECT 1 FROM {articles} a CROSS JOIN LATERAL (SELECT l.source FROM {links} l WHERE l.id = a.candidate_link_id OFFSET 0) AS l
        WHERE a.id = e.article_id AND l.source = $4::text OFFSET 0))
GROUP BY e.article_id ORDER BY max(e.created_at) DESC, e.article_id LIMIT $5";

const ARTICLES: &str = "
SELECT a.id, a.text, a.text_hash, l.source, l.source_id, l.dataset_id
FROM {articles} a CROSS JOIN LATERAL (
    SELECT l.source, l.source_id, l.dataset_id FROM {links} l WHERE l.id = a.candidate_link_id OFFSET 0
) AS l
WHERE a.id = ANY ($1) AND a.text IS NOT NULL";

/// Of several versions of an article the one that was written last.
const ROWS: &str = "
SELECT e.article_id, e.entity_text, e.entity_norm, e.entity_label, e.osm_category, e.osm_subcategory, e.match_name, e.extractor_version,
    e.confidence, e.match_score, e.meta ->> 'start_char' AS start_char, e.meta ->> 'end_char' AS end_char,
    to_char(e.created_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS created_at
FROM {entities} e WHERE e.article_id = ANY ($1) AND e.extractor_version IS DISTINCT FROM $2::text
    AND ($3::text IS NULL OR e.extractor_version = $3::text)";

/// Which articles are replayed.
#[derive(Clone, Debug)]
pub struct Replayed<'a> {
    /// RFC 3339.
    pub since: String,
    /// The rows' version under which the other model would write.
    pub shadow: &'a ExtractorVersion,
    /// Only rows of this version; `None`: the last written of each article.
    pub against: Option<&'a str>,
    pub source: Option<&'a str>,
    pub limit: u32,
}

impl PostgresStore {
    /// Their ids, the last done first.
    pub async fn done_since(&self, asked: &Replayed<'_>) -> Result<Vec<ArticleId>, StoreError> {
        let session = self.session().await?;
        let rows = session
            .query(
                &fill(DONE, &self.host_schema),
                &[&asked.since, &asked.shadow.as_str(), &asked.against, &asked.source, &i64::from(asked.limit)],
            )
            .await?;
        Ok(rows.iter().map(|row| ArticleId::new(row.get::<_, String>(0))).collect())
    }

    /// Texts and rows of some of them; an article that lost its text meanwhile is left out.
    pub async fn with_rows(&self, asked: &Replayed<'_>, ids: &[ArticleId]) -> Result<Vec<(ClaimedArticle, Vec<PlacedRow>)>, StoreError> {
        let session = self.session().await?;
        let ids: Vec<&str> = ids.iter().map(ArticleId::as_str).collect();
        let mut all: Vec<(ClaimedArticle, Vec<PlacedRow>)> = session
            .query(&fill(ARTICLES, &self.host_schema), &[&ids])
            .await?
            .iter()
            .map(|row| {
                let article = ClaimedArticle {
                    id: ArticleId::new(row.get::<_, String>("id")),
                    text: row.get::<_, String>("text").into(),
                    text_hash: row.get("text_hash"),
                    source: row.get("source"),
                    source_id: row.get("source_id"),
                    dataset_id: row.get("dataset_id"),
                    attempts: 0,
                    crashes: 0,
                };
                (article, Vec::new())
            })
            .collect();
        all.sort_by_key(|(article, _)| ids.iter().position(|id| *id == article.id.as_str()));
        for row in session.query(&fill(ROWS, &self.host_schema), &[&ids, &asked.shadow.as_str(), &asked.against]).await? {
            let id: &str = row.get("article_id");
            if let Some((_, rows)) = all.iter_mut().find(|(article, _)| article.id.as_str() == id) {
                rows.push(PlacedRow::of(&row));
            }
        }
        for (_, rows) in &mut all {
            let last =
                rows.iter().max_by(|one, two| one.created_at.cmp(&two.created_at)).map(|placed| placed.row.extractor_version.clone());
            rows.retain(|placed| last.as_ref() == Some(&placed.row.extractor_version));
        }
        Ok(all)
    }
}
