//! The host's gazetteer, read by scope: its rows, and the version that names them.
//!
//! A version is the number of rows and a sum over their ids and the transactions that wrote them: it changes with every row that is
//! added, changed or removed, at once and for whoever does it, and needs neither a trigger on the host's table nor a column of it.
//! (The server's counters of changes would be cheaper to read, but lag behind, are reset, and do not say whose rows changed.)

use super::PostgresStore;
use crate::domain::{GazetteerRow, GazetteerVersion, ScopeKey};
use crate::store::{GazetteerRows, StoreError};

/// A row's part of the version.
const MARK: &str = "hashtextextended(g.id, g.xmin::text::bigint) AS mark";

/// By an index of the host, whichever ids are known: two conditions in one would leave the planner to read the whole table. In no
/// order: a sort by id could be had only by walking all sources.
const ROWS: &str = "
SELECT g.id, g.name, g.name_norm, g.category, g.distance_miles, {mark} FROM {gazetteer} g
WHERE g.source_id = $1::text AND ($2::text IS NULL OR g.dataset_id = $2::text)
UNION ALL
SELECT g.id, g.name, g.name_norm, g.category, g.distance_miles, {mark} FROM {gazetteer} g
WHERE $1::text IS NULL AND g.dataset_id = $2::text";

const VERSIONS: &str = "
SELECT s.place, found.rows, found.marks::text AS marks
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS s (source_id, dataset_id, place)
CROSS JOIN LATERAL (
    SELECT count(*) AS rows, coalesce(sum(mark), 0) AS marks
    FROM (
        SELECT {mark} FROM {gazetteer} g WHERE g.source_id = s.source_id AND (s.dataset_id IS NULL OR g.dataset_id = s.dataset_id)
        UNION ALL
        SELECT {mark} FROM {gazetteer} g WHERE s.source_id IS NULL AND g.dataset_id = s.dataset_id
    ) AS marked
) AS found";

pub(super) fn rows() -> String {
    ROWS.replace("{mark}", MARK)
}

pub(super) fn versions() -> String {
    VERSIONS.replace("{mark}", MARK)
}

impl PostgresStore {
    pub(super) async fn read_gazetteer(&self, scope: &ScopeKey) -> Result<Option<GazetteerRows>, StoreError> {
        let session = self.session().await?;
        let found = session.query(&self.statements.gazetteer_rows, &[&scope.source_id.as_deref(), &scope.dataset_id.as_deref()]).await?;
        let marks = found.iter().map(|row| i128::from(row.get::<_, i64>("mark"))).sum();
        let rows = found
            .iter()
            .map(|row| GazetteerRow {
                id: row.get("id"),
                name: row.get("name"),
                name_norm: row.get("name_norm"),
                category: row.get("category"),
                distance_miles: row.get("distance_miles"),
            })
            .collect();
        Ok(version(found.len() as u64, marks).map(|version| GazetteerRows { version, rows }))
    }

    pub(super) async fn read_versions(&self, scopes: &[ScopeKey]) -> Result<Vec<Option<GazetteerVersion>>, StoreError> {
        let sources: Vec<Option<&str>> = scopes.iter().map(|scope| scope.source_id.as_deref()).collect();
        let datasets: Vec<Option<&str>> = scopes.iter().map(|scope| scope.dataset_id.as_deref()).collect();
        let session = self.session().await?;
        let mut versions = vec![None; scopes.len()];
        for row in session.query(&self.statements.gazetteer_versions, &[&sources, &datasets]).await? {
            let place = usize::try_from(row.get::<_, i64>("place") - 1).ok();
            let rows = u64::try_from(row.get::<_, i64>("rows")).unwrap_or(0);
            let marks = row.get::<_, &str>("marks").parse().unwrap_or(0);
            if let Some(place) = place.and_then(|place| versions.get_mut(place)) {
                *place = version(rows, marks);
            }
        }
        Ok(versions)
    }
}

/// `None` for no rows.
fn version(rows: u64, marks: i128) -> Option<GazetteerVersion> {
    // The sum's last 64 bits: as good as a hash of the marks, and short beside every entity.
    (rows > 0).then(|| GazetteerVersion(format!("{rows}-{:016x}", marks as u64).into()))
}
