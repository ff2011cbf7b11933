//! A sample of the host's articles with the rows that somebody else wrote for them: what a comparison of rules begins with.

use tokio_postgres::Row;

use super::PostgresStore;
use super::sql::fill;
use crate::domain::{ArticleId, ClaimedArticle, ExtractorVersion};
use crate::store::StoreError;

/// The newest articles that have rows of other versions than ours, in the order of an index.
const ARTICLES: &str = "
SELECT a.id, a.text, a.text_hash, l.source, l.source_id, l.dataset_id
FROM {articles} a CROSS JOIN LATERAL (
    SELECT l.source, l.source_id, l.dataset_id FROM {links} l WHERE l.id = a.candidate_link_id OFFSET 0
) AS l
WHERE a.text IS NOT NULL AND ($2::text IS NULL OR l.source = $2::text)
    AND EXISTS (SELECT 1 FROM {entities} e WHERE e.article_id = a.id AND e.extractor_version IS DISTINCT FROM $3::text OFFSET 0)
ORDER BY a.extracted_at DESC LIMIT $1";

const ROWS: &str = "
SELECT e.article_id, e.entity_text, e.entity_norm, e.entity_label, e.osm_category, e.osm_subcategory, e.match_name, e.extractor_version
FROM {entities} e WHERE e.article_id = ANY ($1) AND e.extractor_version IS DISTINCT FROM $2::text ORDER BY e.article_id";

/// A row of `article_entities` as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingRow {
    pub text: String,
    pub norm: Option<String>,
    pub label: Option<String>,
    pub category: Option<String>,
    pub subcategory: Option<String>,
    pub match_name: Option<String>,
    pub extractor_version: Option<String>,
}

impl StandingRow {
    /// Of a query that names the columns as the host does.
    pub(super) fn of(row: &Row) -> Self {
        Self {
            text: row.get("entity_text"),
            norm: row.get("entity_norm"),
            label: row.get("entity_label"),
            category: row.get("osm_category"),
            subcategory: row.get("osm_subcategory"),
            match_name: row.get("match_name"),
            extractor_version: row.get("extractor_version"),
        }
    }
}

impl PostgresStore {
    /// At most so many articles, the newest first, each with its rows of other versions than this one; `source`: only of this one.
    pub async fn sample(
        &self,
        version: &ExtractorVersion,
        source: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(ClaimedArticle, Vec<StandingRow>)>, StoreError> {
        let session = self.session().await?;
        let found = session.query(&fill(ARTICLES, &self.host_schema), &[&i64::from(limit), &source, &version.as_str()]).await?;
        let mut sample: Vec<(ClaimedArticle, Vec<StandingRow>)> = found
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
        let ids: Vec<String> = sample.iter().map(|(article, _)| article.id.to_string()).collect();
        for row in session.query(&fill(ROWS, &self.host_schema), &[&ids, &version.as_str()]).await? {
            let id: &str = row.get("article_id");
            let Some((_, rows)) = sample.iter_mut().find(|(article, _)| article.id.as_str() == id) else { continue };
            rows.push(StandingRow::of(&row));
        }
        Ok(sample)
    }
}
