//! Never twice: a claimed article whose very text has rows already gets a copy of them. Twins are looked for and their rows
//! copied in one statement, hence one transaction and one round trip a batch: no twin can change in between, and a copy is
//! guarded by the claim's token as every completion is.

use super::{PostgresStore, ids};
use crate::domain::{ArticleId, ClaimToken, ExtractorVersion};
use crate::store::{Completion, Reusable, StoreError};

/// Rows of one hash that are looked at for a twin: a text that thousands of articles share costs no more than any other. What
/// is missed for it takes inference, as without this.
const MOST_ROWS_SEEN: i64 = 200;

/// A twin is another article with the same hash and, since a hash may be stale, the very same text, byte for byte; out of the
/// queue, and with all its rows of this version written for that hash: a text that changed after they were written names another.
///
/// Rows are right where the same gazetteer is: each says the version that it was matched with, and a version is the very rows of
/// one scope. The sentinel says none: where there is a gazetteer it is not copied, since with another one there might be a name.
///
/// From the outside in, each step is one look into an index: no join here can be turned round so that it starts with all articles
/// of a hash, of which there may be very many. An article that has rows of this version already goes the usual way, which replaces.
pub(super) const REUSE: &str = "
WITH {held}, claimed AS MATERIALIZED (
    SELECT a.id, a.text, a.text_hash, asked.gazetteer
    FROM unnest($2::text[], $5::text[]) AS asked (id, gazetteer)
        JOIN nerd.jobs j ON j.article_id = asked.id JOIN {articles} a ON a.id = j.article_id
    WHERE j.token = $1 AND j.state = 'leased' AND a.text_hash IS NOT NULL
), twin AS MATERIALIZED (
    SELECT c.id, c.text_hash, found.id AS twin_id
    FROM claimed c CROSS JOIN LATERAL (
        SELECT t.id
        FROM (
            SELECT DISTINCT article_id FROM (
                SELECT e.article_id FROM {entities} e WHERE e.article_text_hash = c.text_hash AND e.extractor_version = $3 LIMIT $4
            ) AS seen
        ) AS candidate
        CROSS JOIN LATERAL (
            SELECT a.id, a.text, a.text_hash FROM {articles} a WHERE a.id = candidate.article_id LIMIT 1
        ) AS t
        CROSS JOIN LATERAL (
            SELECT bool_and(e.article_text_hash IS NOT DISTINCT FROM c.text_hash
                AND e.meta ->> 'gazetteer' IS NOT DISTINCT FROM c.gazetteer) AS right_here
            FROM {entities} e WHERE e.article_id = t.id AND e.extractor_version = $3
        ) AS rows
        WHERE t.id <> c.id AND t.text_hash = c.text_hash AND t.text = c.text COLLATE \"C\" AND rows.right_here
            AND (SELECT count(*) FROM nerd.jobs q WHERE q.article_id = t.id) = 0
        LIMIT 1
    ) AS found
    WHERE (SELECT count(*) FROM {entities} e WHERE e.article_id = c.id AND e.extractor_version = $3) = 0
), closed AS MATERIALIZED (
    DELETE FROM nerd.jobs WHERE article_id = ANY (ARRAY(SELECT id FROM twin)) AND state = 'leased' AND token = (SELECT token FROM held)
    RETURNING article_id
), {settled}, copied AS (
    INSERT INTO {entities} (id, article_id, article_text_hash, entity_text, entity_norm, entity_label, osm_category, osm_subcategory,
        extractor_version, confidence, matched_gazetteer_id, match_score, match_name, meta, created_at)
    SELECT gen_random_uuid()::text, w.id, w.text_hash, e.entity_text, e.entity_norm, e.entity_label, e.osm_category, e.osm_subcategory,
        e.extractor_version, e.confidence, e.matched_gazetteer_id, e.match_score, e.match_name, e.meta, now() AT TIME ZONE 'UTC'
    FROM closed k JOIN twin w ON w.id = k.article_id JOIN {entities} e ON e.article_id = w.twin_id AND e.extractor_version = $3
    RETURNING 1
)
SELECT w.id, k.article_id IS NOT NULL AS done, (SELECT count(*) FROM copied) AS rows
FROM twin w LEFT JOIN closed k ON k.article_id = w.id";

impl PostgresStore {
    pub(super) async fn copy_known(
        &self,
        token: ClaimToken,
        version: &ExtractorVersion,
        articles: &[Reusable],
    ) -> Result<Completion, StoreError> {
        let names: Vec<&ArticleId> = articles.iter().map(|article| &article.id).collect();
        let gazetteers: Vec<Option<&str>> = articles.iter().map(|article| article.gazetteer.as_ref().map(|version| &*version.0)).collect();
        let session = self.session().await?;
        let rows =
            session.query(&self.statements.reuse, &[&token.0, &ids(&names), &version.as_str(), &MOST_ROWS_SEEN, &gazetteers]).await?;
        let mut completion = Completion::default();
        for row in &rows {
            let id = ArticleId::new(row.get::<_, String>("id"));
            let list = if row.get("done") { &mut completion.done } else { &mut completion.lease_lost };
            list.push(id);
        }
        completion.rows = rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>("rows")).unwrap_or(0));
        Ok(completion)
    }
}
