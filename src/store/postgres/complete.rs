//! Completion: the jobs are closed and the articles' rows replaced in one transaction, guarded by the claim's token. Whoever
//! comes late deletes no job, and writes nothing.

use std::collections::HashSet;

use super::rows::{Row, Rows, rows_of};
use super::{PostgresStore, ids};
use crate::domain::{AnnotatedArticle, ArticleId, ClaimToken, ExtractorVersion};
use crate::store::{Completion, StoreError};

/// One statement, hence one transaction and one round trip. What depends on what is said by the data: only closed jobs' articles
/// are replaced, and nothing is inserted before the old rows are deleted (the count waits for all of them). `IS NOT DISTINCT
/// FROM` keeps the planner from looking for the version, which every row shares; `IS TRUE` makes it look up the closed articles
/// in a hash table instead of comparing each with each. A gazetteer row may have been deleted since it was matched: then there is no
/// match, and no error.
pub(super) const COMPLETE: &str = "
WITH {held}, closed AS MATERIALIZED (
    DELETE FROM nerd.jobs WHERE article_id = ANY ($2) AND state = 'leased' AND token = (SELECT token FROM held) RETURNING article_id
), {settled}, replaced AS MATERIALIZED (
    DELETE FROM {entities} WHERE article_id = ANY (ARRAY(SELECT article_id FROM closed)) AND extractor_version IS NOT DISTINCT FROM $3
    RETURNING 1
), inserted AS (
    INSERT INTO {entities} (id, article_id, article_text_hash, entity_text, entity_norm, entity_label, osm_category, osm_subcategory,
        extractor_version, confidence, matched_gazetteer_id, match_score, match_name, meta, created_at)
    SELECT r.id, r.article_id, r.text_hash, r.text, r.norm, r.label, r.category, r.subcategory, $3, r.confidence,
        g.id, CASE WHEN g.id IS NOT NULL THEN r.match_score END, CASE WHEN g.id IS NOT NULL THEN r.match_name END, r.meta::json,
        now() AT TIME ZONE 'UTC'
    FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::float8[], $13::text[],
            $14::text[], $15::float8[], $16::text[])
        AS r (id, article_id, text_hash, text, norm, label, category, subcategory, confidence, meta, gazetteer_id, match_score, match_name)
        LEFT JOIN LATERAL (SELECT id FROM {gazetteer} WHERE id = r.gazetteer_id OFFSET 0) AS g ON true
    WHERE (SELECT count(*) FROM replaced) >= 0 AND (r.article_id IN (SELECT article_id FROM closed)) IS TRUE
)
SELECT article_id FROM closed";

impl PostgresStore {
    pub(super) async fn complete_batch(
        &self,
        token: ClaimToken,
        version: &ExtractorVersion,
        articles: &[AnnotatedArticle],
    ) -> Result<Completion, StoreError> {
        let all: Vec<&ArticleId> = articles.iter().map(|a| &a.article.id).collect();
        let made: Vec<Rows> = articles.iter().map(|article| rows_of(article, &self.rules)).collect();
        let rows: Vec<&Row> = made.iter().flat_map(|made| &made.rows).collect();
        let column = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row)).collect::<Vec<&str>>();
        let nullable = |of: fn(&Row) -> Option<&str>| rows.iter().map(|row| of(row)).collect::<Vec<Option<&str>>>();
        let confidence: Vec<Option<f64>> = rows.iter().map(|row| row.confidence).collect();
        let meta: Vec<String> = rows.iter().map(|row| row.meta.to_string()).collect();
        let gazetteer_ids = nullable(|r| r.matched.as_ref().map(|m| &*m.id));
        let match_scores: Vec<Option<f64>> = rows.iter().map(|row| row.matched.as_ref().map(|m| m.score)).collect();
        let match_names = nullable(|r| r.matched.as_ref().map(|m| &*m.name));
        let session = self.session().await?;
        let closed = session
            .query(
                &self.statements.complete,
                &[
                    &token.0,
                    &ids(&all),
                    &version.as_str(),
                    &column(|r| &r.id),
                    &column(|r| &r.article_id),
                    &nullable(|r| r.article_text_hash.as_deref()),
                    &column(|r| &r.entity_text),
                    &column(|r| &r.entity_norm),
                    &column(|r| &r.entity_label),
                    &nullable(|r| r.category.as_ref().map(|c| &*c.category)),
                    &nullable(|r| r.category.as_ref().and_then(|c| c.subcategory.as_deref())),
                    &confidence,
                    &meta,
                    &gazetteer_ids,
                    &match_scores,
                    &match_names,
                ],
            )
            .await?;
        let held: HashSet<&str> = closed.iter().map(|row| row.get(0)).collect();
        let mut completion = Completion::default();
        for (annotated, made) in articles.iter().zip(&made) {
            let id = &annotated.article.id;
            if !held.contains(id.as_str()) {
                completion.lease_lost.push(id.clone());
                continue;
            }
            completion.done.push(id.clone());
            completion.rows += made.rows.len() as u64;
            completion.skipped += made.too_long;
            if made.too_long > 0 {
                tracing::warn!(article = %id, names = made.too_long, "names too long for the host's unique index, not written");
            }
        }
        Ok(completion)
    }
}
