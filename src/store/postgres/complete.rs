//! Completion: the jobs are closed and the articles' rows replaced in one transaction, guarded by the claim's token. Whoever
//! comes late deletes no job, and writes nothing.

use std::collections::HashSet;

use super::rows::{Row, rows_of};
use super::{PostgresStore, ids};
use crate::domain::{AnnotatedArticle, ArticleId, ClaimToken};
use crate::store::{Completion, StoreError};

const CLOSE: &str = "DELETE FROM nerd.jobs WHERE token = $1 AND state = 'leased' AND article_id = ANY($2) RETURNING article_id";
pub(super) const REPLACE: &str = "DELETE FROM {entities} WHERE article_id = ANY($1) AND extractor_version = $2";
pub(super) const INSERT: &str = "
INSERT INTO {entities} (id, article_id, article_text_hash, entity_text, entity_norm, entity_label, osm_category, osm_subcategory,
    extractor_version, confidence, meta, created_at)
SELECT r.id, r.article_id, r.text_hash, r.text, r.norm, r.label, r.category, r.subcategory, $10, r.confidence, r.meta::json,
    now() AT TIME ZONE 'UTC'
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::float8[], $11::text[])
    AS r (id, article_id, text_hash, text, norm, label, category, subcategory, confidence, meta)";

impl PostgresStore {
    pub(super) async fn complete_batch(&self, token: ClaimToken, articles: &[AnnotatedArticle]) -> Result<Completion, StoreError> {
        let all: Vec<&ArticleId> = articles.iter().map(|a| &a.article.id).collect();
        let mut client = self.client().await?;
        let (close, replace, insert) = futures_util::future::try_join3(
            client.prepare_cached(CLOSE),
            client.prepare_cached(&self.statements.replace),
            client.prepare_cached(&self.statements.insert),
        )
        .await?;
        let transaction = client.transaction().await?;
        let closed = transaction.query(&close, &[&token.0, &ids(&all)]).await?;
        let held: HashSet<String> = closed.iter().map(|row| row.get(0)).collect();
        let (done, lease_lost): (Vec<&AnnotatedArticle>, Vec<&AnnotatedArticle>) =
            articles.iter().partition(|a| held.contains(a.article.id.as_str()));
        let (mut rows, mut skipped) = (Vec::new(), 0);
        for annotated in &done {
            let made = rows_of(annotated);
            rows.extend(made.rows);
            if made.too_long > 0 {
                skipped += made.too_long;
                tracing::warn!(article = %annotated.article.id, names = made.too_long, "names too long for the host's unique index, not written");
            }
        }
        if !done.is_empty() {
            let done_ids: Vec<&ArticleId> = done.iter().map(|a| &a.article.id).collect();
            transaction.execute(&replace, &[&ids(&done_ids), &self.extractor_version]).await?;
            self.insert(&transaction, &insert, &rows).await?;
        }
        transaction.commit().await?;
        let of = |list: Vec<&AnnotatedArticle>| list.into_iter().map(|a| a.article.id.clone()).collect();
        Ok(Completion { done: of(done), lease_lost: of(lease_lost), rows: rows.len() as u64, skipped })
    }

    async fn insert(
        &self,
        transaction: &deadpool_postgres::Transaction<'_>,
        statement: &tokio_postgres::Statement,
        rows: &[Row],
    ) -> Result<(), StoreError> {
        let column = |of: fn(&Row) -> &str| rows.iter().map(of).collect::<Vec<&str>>();
        let nullable = |of: fn(&Row) -> Option<&str>| rows.iter().map(of).collect::<Vec<Option<&str>>>();
        let confidence: Vec<f64> = rows.iter().map(|row| row.confidence).collect();
        let meta: Vec<String> = rows.iter().map(|row| row.meta.to_string()).collect();
        transaction
            .execute(
                statement,
                &[
                    &column(|r| &r.id),
                    &column(|r| &r.article_id),
                    &nullable(|r| r.article_text_hash.as_deref()),
                    &column(|r| &r.entity_text),
                    &column(|r| &r.entity_norm),
                    &column(|r| &r.entity_label),
                    &nullable(|r| r.osm_category),
                    &nullable(|r| r.osm_subcategory),
                    &confidence,
                    &self.extractor_version,
                    &meta,
                ],
            )
            .await?;
        Ok(())
    }
}
