//! The gazetteer on a real PostgreSQL: whose rows a scope has, what changes its version, and the rows that are written.

mod support;

use std::sync::Arc;
use std::time::Duration;

use nerd::actors::scopes::{ScopeOptions, Scopes};
use nerd::domain::{AnnotatedArticle, Compat, Entity, ScopeKey};
use nerd::metrics::Metrics;
use nerd::store::postgres::PostgresStore;
use nerd::store::{ArticleStore, ClaimRequest};
use serde_json::{Value, json};
use support::database::Database;
use support::plan::{complaints, explain};
use support::process::{Daemon, nerd, until};

struct Rig {
    database: Database,
    store: Arc<PostgresStore>,
    scopes: Scopes,
}

impl Rig {
    /// With sources `s-gazette` and `s-herald` and datasets `d` and `e`, whose gazetteers are empty.
    async fn new() -> Self {
        let database = Database::migrated(true).await;
        let sql = "INSERT INTO sources (id, host, host_norm) SELECT 's-' || s, s, s FROM unnest(ARRAY['gazette', 'herald']) AS s;
            INSERT INTO datasets (id, slug, label, ingested_at) SELECT d, d, d, now() FROM unnest(ARRAY['d', 'e']) AS d";
        database.client.batch_execute(sql).await.unwrap();
        let store = database.store();
        let options = ScopeOptions { memory_bytes: 1 << 30, refresh: Duration::ZERO, compat: Compat::Mended };
        let scopes = Scopes::new(options, store.clone(), Metrics::new());
        Self { database, store, scopes }
    }

    async fn row(&self, id: &str, name: &str, category: Option<&str>, distance: Option<f64>) {
        self.row_of(id, name, category, distance, Some("s-gazette"), Some("d")).await;
    }

    /// `name_norm` as the host's own script makes it of most names.
    async fn row_of(
        &self,
        id: &str,
        name: &str,
        category: Option<&str>,
        distance: Option<f64>,
        source: Option<&str>,
        dataset: Option<&str>,
    ) {
        let sql = "INSERT INTO gazetteer (id, name, name_norm, category, distance_miles, source_id, dataset_id)
            VALUES ($1, $2::text, lower($2::text), $3, $4, $5, $6)";
        self.database.client.execute(sql, &[&id, &name, &category, &distance, &source, &dataset]).await.unwrap();
    }

    /// Works off what is pending as the daemon does, with these words of the model.
    async fn work(&self, found: &[(&str, &str)]) {
        let batch =
            self.store.claim(&ClaimRequest { limit: 100, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap();
        let key = |id: &Option<String>, other: &Option<String>| ScopeKey::new(id.as_deref(), other.as_deref());
        let keys: Vec<Option<ScopeKey>> = batch.articles.iter().map(|article| key(&article.source_id, &article.dataset_id)).collect();
        let scopes = self.scopes.of(&keys).await.unwrap();
        let annotated: Vec<AnnotatedArticle> = batch
            .articles
            .into_iter()
            .zip(scopes)
            .map(|(article, scope)| {
                let entities = found.iter().filter_map(|&(text, label)| entity(&article.text, text, label)).collect();
                let mentions = match &scope {
                    Some(scope) => scope.mentions(&article.text, entities),
                    None => entities.into_iter().map(Into::into).collect(),
                };
                AnnotatedArticle { article, mentions, gazetteer: scope.map(|scope| scope.version().clone()) }
            })
            .collect();
        assert_eq!(self.store.complete(batch.token, support::version(), &annotated).await.unwrap().done.len(), annotated.len());
    }

    /// An article's rows in the order of the text, but for what every row has; the gazetteer's version apart.
    async fn rows(&self, article: &str) -> Vec<Value> {
        let sql = "SELECT jsonb_build_array(entity_text, entity_norm, entity_label, osm_category, osm_subcategory, confidence,
                matched_gazetteer_id, match_score, match_name, meta::jsonb - 'gazetteer' - 'label')::text
            FROM article_entities WHERE article_id = $1 ORDER BY (meta ->> 'start_char')::int";
        let rows = self.database.client.query(sql, &[&article]).await.unwrap();
        let read = |row: &tokio_postgres::Row| {
            let mut row: Value = serde_json::from_str(row.get(0)).unwrap();
            // Confidence and score: PostgreSQL writes 1 where JSON here has 1.0.
            for column in [5, 7] {
                row[column] = row[column].as_f64().into();
            }
            row
        };
        rows.iter().map(read).collect()
    }

    async fn ids(&self, source: Option<&str>, dataset: Option<&str>) -> Vec<String> {
        let Some(key) = ScopeKey::new(source, dataset) else { return Vec::new() };
        let read = self.store.gazetteer_rows(&key).await.unwrap();
        let versions = self.store.gazetteer_versions(std::slice::from_ref(&key)).await.unwrap();
        assert_eq!(versions, [read.as_ref().map(|read| read.version.clone())], "{key:?}");
        let mut ids: Vec<String> = read.into_iter().flat_map(|read| read.rows).map(|row| row.id).collect();
        ids.sort();
        ids
    }
}

fn entity(text: &str, of: &str, label: &str) -> Option<Entity> {
    let start = text[..text.find(of)?].chars().count();
    Some(Entity { text: of.to_owned(), label: label.into(), start, end: start + of.chars().count(), score: 0.5 })
}

fn place(start: usize, end: usize, origin: &str) -> Value {
    json!({ "start_char": start, "end_char": end, "origin": origin })
}

#[tokio::test]
async fn a_scope_has_the_rows_of_its_source_and_dataset() {
    let rig = Rig::new().await;
    for (id, source, dataset) in [
        ("sd", Some("s-gazette"), Some("d")),
        ("se", Some("s-gazette"), Some("e")),
        ("s", Some("s-gazette"), None),
        ("hd", Some("s-herald"), Some("d")),
        ("d", None, Some("d")),
        ("nobody", None, None),
    ] {
        rig.row_of(id, id, None, None, source, dataset).await;
    }
    for (source, dataset, expected) in [
        (Some("s-gazette"), Some("d"), &["sd"][..]),
        (Some("s-gazette"), None, &["s", "sd", "se"]),
        (Some("s-gazette"), Some(""), &["s", "sd", "se"]),
        (None, Some("d"), &["d", "hd", "sd"]),
        (Some(""), Some("d"), &["d", "hd", "sd"]),
        (Some("s-herald"), Some("e"), &[]),
        (Some("s-other"), None, &[]),
        (None, None, &[]),
        (Some(""), Some(""), &[]),
    ] {
        assert_eq!(rig.ids(source, dataset).await, expected, "{source:?} {dataset:?}");
    }
}

#[tokio::test]
async fn the_rows_say_what_the_gazetteer_knows() {
    let rig = Rig::new().await;
    for (id, name, category) in [
        ("hospital", "Boone Hospital", Some("healthcare")),
        ("mary", "St. Mary's Hospital", Some("healthcare")),
        ("school", "Smith-Cotton High School", Some("schools")),
        ("target", "Target", Some("businesses")),
        ("friday", "Friday", Some("businesses")),
        ("hyvee", "Hy-Vee", Some("businesses")),
        ("berlin", "Café Berlin", Some("Businesses")),
        ("field", "Faurot Field", Some("sports")),
        ("airport", "Columbia Regional Airport", Some("transportation")),
        ("library", "Boone County Library", None),
    ] {
        rig.row(id, name, category, Some(3.0)).await;
    }
    let text = "On Friday Mayor Faurot Field left Boone\nHospital, St. Mary’s Hospital and Smith–Cotton\u{a0}High School; he targeted \
        Target, Hy-Vee's and Cafe Berlin, Columbia Regional Airport, Boone Cnty Library and Café Berlin.";
    rig.database.article("a", text).await;
    let model = [("Friday", "DATE"), ("Faurot Field", "PERSON"), ("Columbia", "LOC"), ("Target", "ORG"), ("Boone Cnty Library", "ORG")];
    rig.work(&model).await;
    let found = rig.rows("a").await;
    let at = |of: &str| entity(text, of, "").map(|entity| (entity.start, entity.end)).unwrap();
    let row = |of: &str, norm: &str, label: &str, category: (&str, Option<&str>), matched: (&str, f64, &str), origin: &str| {
        let (start, end) = at(of);
        let confidence = if origin == "gazetteer" { 1.0 } else { 0.5 };
        json!([of, norm, label, category.0, category.1, confidence, matched.0, matched.1, matched.2, place(start, end, origin)])
    };
    let health = ("institution", Some("healthcare"));
    let cafe = |of| {
        row(
            of,
            if of == "Cafe Berlin" { "cafe berlin" } else { "caf berlin" },
            "ORG",
            ("business", None),
            ("berlin", 1.0, "Café Berlin"),
            "gazetteer",
        )
    };
    let mut expected = vec![
        row("Faurot Field", "faurot field", "PERSON", ("person", None), ("field", 1.0, "Faurot Field"), "both"),
        row("Boone\nHospital", "boone hospital", "ORG", health, ("hospital", 1.0, "Boone Hospital"), "gazetteer"),
        row("St. Mary’s Hospital", "st mary's hospital", "ORG", health, ("mary", 1.0, "St. Mary's Hospital"), "gazetteer"),
        row(
            "Smith–Cotton\u{a0}High School",
            "smith-cotton high school",
            "ORG",
            ("school", None),
            ("school", 1.0, "Smith-Cotton High School"),
            "gazetteer",
        ),
        row("Target", "target", "ORG", ("business", None), ("target", 1.0, "Target"), "both"),
        row("Hy-Vee", "hy-vee", "ORG", ("business", None), ("hyvee", 1.0, "Hy-Vee"), "gazetteer"),
        cafe("Cafe Berlin"),
        row(
            "Columbia Regional Airport",
            "columbia regional airport",
            "FAC",
            ("landmark", Some("transportation")),
            ("airport", 1.0, "Columbia Regional Airport"),
            "gazetteer",
        ),
        row("Boone Cnty Library", "boone cnty library", "ORG", ("institution", None), ("library", 0.0, "Boone County Library"), "model"),
        cafe("Café Berlin"),
    ];
    // The similar one's score, to the last digit but one.
    let score = found[8][7].as_f64().unwrap();
    assert!((score - 0.947_368_421).abs() < 1e-9, "{score}");
    expected[8][7] = found[8][7].clone();
    assert_eq!(found, expected);
    let labelled = "article_entities WHERE meta ->> 'label' = entity_label AND meta ->> 'gazetteer' ~ '^10-[0-9a-f]{16}$'";
    assert_eq!(rig.database.count(labelled).await, 10);
}

#[tokio::test]
async fn of_rows_that_match_alike_the_nearest_wins_then_the_smallest_id() {
    let rig = Rig::new().await;
    for (id, name, distance) in
        [("a", "City Hall", None), ("z", "City Hall", Some(1.0)), ("c", "CITY HALL", Some(1.0)), ("b", "City Hall", Some(2.0))]
    {
        rig.row(id, name, Some("government"), distance).await;
    }
    rig.database.article("a", "At City Hall, no City Hal.").await;
    rig.work(&[("City Hal.", "ORG")]).await;
    let matched: Vec<Value> = rig.rows("a").await.into_iter().map(|row| json!([row[6], row[8]])).collect();
    assert_eq!(matched, [json!(["c", "CITY HALL"]), json!(["c", "CITY HALL"])]);
}

#[tokio::test]
async fn without_rows_of_its_own_an_article_has_no_match() {
    let rig = Rig::new().await;
    rig.row_of("other", "Boone Hospital", None, None, Some("s-herald"), Some("d")).await;
    rig.database.article("a", "Boone Hospital and Ann Lee").await;
    rig.database.article_of("herald", "b", Some("Boone Hospital and Ann Lee"), Some("c"), "extracted").await;
    rig.database.article("nothing", "nothing").await;
    rig.work(&[("Ann Lee", "PERSON")]).await;
    let person = json!(["Ann Lee", "ann lee", "PERSON", "person", null, 0.5, null, null, null, place(19, 26, "model")]);
    assert_eq!(rig.rows("a").await, std::slice::from_ref(&person));
    let hospital = rig.rows("b").await;
    assert_eq!((hospital.len(), &hospital[0][6], &hospital[1]), (2, &json!("other"), &person));
    assert_eq!(rig.database.count("article_entities WHERE article_id = 'nothing' AND entity_label = 'SENTINEL'").await, 1);
    assert_eq!(rig.database.count("article_entities WHERE article_id = 'a' AND meta ->> 'gazetteer' IS NOT NULL").await, 0);
}

#[tokio::test]
async fn every_change_of_a_row_makes_another_version_of_its_scopes_only() {
    let rig = Rig::new().await;
    rig.row("g", "Boone Hospital", None, None).await;
    rig.row_of("h", "Boone Hospital", None, None, Some("s-herald"), Some("d")).await;
    let keys = [ScopeKey::new(Some("s-gazette"), Some("d")).unwrap(), ScopeKey::new(Some("s-herald"), Some("d")).unwrap()];
    let versions = async || rig.store.gazetteer_versions(&keys).await.unwrap();
    let mut seen = versions().await;
    assert_eq!(versions().await, seen, "the same rows, the same version");
    let before = seen[1].clone();
    for change in [
        "INSERT INTO gazetteer (id, name, source_id, dataset_id) VALUES ('i', 'Hy-Vee', 's-gazette', 'd')",
        "UPDATE gazetteer SET name = 'Boone Hospital Center' WHERE id = 'g'",
        // Nothing that counts or dates rows would tell.
        "BEGIN; DELETE FROM gazetteer WHERE id = 'g'; INSERT INTO gazetteer (id, name, source_id, dataset_id) VALUES ('g', 'Boone', 's-gazette', 'd'); COMMIT",
        "UPDATE gazetteer SET source_id = 's-herald', dataset_id = 'e' WHERE id = 'i'",
    ] {
        rig.database.client.batch_execute(change).await.unwrap();
        let now = versions().await;
        assert!(now[0].is_some() && !seen.contains(&now[0]), "{change}");
        assert_eq!(now[1], before, "{change}");
        seen.push(now[0].clone());
    }
    rig.database.client.batch_execute("VACUUM FREEZE gazetteer").await.unwrap();
    assert_eq!(versions().await[0], *seen.last().unwrap(), "housekeeping is no change");
    rig.database.client.batch_execute("DELETE FROM gazetteer WHERE id = 'g'").await.unwrap();
    assert_eq!(versions().await, [None, before]);
}

#[tokio::test]
async fn a_changed_gazetteer_is_used_for_the_next_article() {
    let rig = Rig::new().await;
    let mut matches = Vec::new();
    for (id, change) in [
        ("a", "INSERT INTO gazetteer (id, name, source_id, dataset_id) VALUES ('g', 'Boone Hospital', 's-gazette', 'd')"),
        ("b", "UPDATE gazetteer SET name = 'Hospital of Boone'"),
        ("c", "UPDATE gazetteer SET name = 'Boone Hospital'"),
        ("d", "UPDATE article_entities SET matched_gazetteer_id = NULL; DELETE FROM gazetteer"),
    ] {
        rig.database.client.batch_execute(change).await.unwrap();
        rig.database.article(id, "Boone Hospital").await;
        rig.work(&[]).await;
        matches.push(rig.rows(id).await[0][0].clone());
    }
    assert_eq!(matches, ["Boone Hospital", "__NO_ENTITIES_FOUND__", "Boone Hospital", "__NO_ENTITIES_FOUND__"]);
}

#[tokio::test]
async fn a_row_deleted_after_it_was_matched_is_no_match_and_no_error() {
    let rig = Rig::new().await;
    rig.row("g", "Boone Hospital", Some("healthcare"), None).await;
    rig.database.article("a", "Boone Hospital").await;
    let batch = rig.store.claim(&ClaimRequest { limit: 1, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap();
    let scope = rig.scopes.of(&[ScopeKey::new(Some("s-gazette"), Some("d"))]).await.unwrap().pop().unwrap().unwrap();
    let mentions = scope.mentions("Boone Hospital", vec![]);
    assert_eq!(mentions.len(), 1);
    rig.database.client.execute("DELETE FROM gazetteer", &[]).await.unwrap();
    let annotated = AnnotatedArticle { article: batch.articles[0].clone(), mentions, gazetteer: Some(scope.version().clone()) };
    assert_eq!(rig.store.complete(batch.token, support::version(), &[annotated]).await.unwrap().rows, 1);
    let expected =
        json!(["Boone Hospital", "boone hospital", "ORG", "institution", "healthcare", 1.0, null, null, null, place(0, 14, "gazetteer")]);
    assert_eq!(rig.rows("a").await, [expected]);
}

/// Of a long table, only the rows of the scopes asked for are read, whichever of their ids are known.
#[tokio::test]
async fn scopes_are_found_by_index() {
    let rig = Rig::new().await;
    let sql = "ALTER TABLE gazetteer SET (autovacuum_enabled = off);
        INSERT INTO sources (id, host, host_norm) SELECT 's' || n, 's' || n, 's' || n FROM generate_series(1, 200) AS n;
        INSERT INTO datasets (id, slug, label, ingested_at) SELECT 'd' || n, 'd' || n, 'd' || n, now() FROM generate_series(1, 200) AS n;
        INSERT INTO gazetteer (id, name, source_id, dataset_id)
        SELECT gen_random_uuid(), 'Name ' || n, 's' || 1 + n % 200, 'd' || 1 + n % 200 FROM generate_series(1, 20000) AS n";
    rig.database.client.batch_execute(sql).await.unwrap();
    for analyzed in [false, true] {
        if analyzed {
            rig.database.client.batch_execute("ANALYZE gazetteer").await.unwrap();
        }
        let statements = rig.store.statements();
        for (statement, arguments) in [
            (&statements.gazetteer_rows, ["'s7'", "'d7'"]),
            (&statements.gazetteer_rows, ["'s7'", "NULL"]),
            (&statements.gazetteer_rows, ["NULL", "'d7'"]),
            (&statements.gazetteer_versions, ["'{s7,s8,NULL}'", "'{d7,NULL,d9}'"]),
        ] {
            let explained = explain(&rig.database.client, statement, &arguments).await;
            assert_eq!(complaints(&explained, 501.0), Vec::<String>::new(), "{arguments:?}, statistics {analyzed}: {explained:#}");
        }
    }
}

const LONG: Duration = Duration::from_secs(240);

/// The real binary with the real model.
#[tokio::test]
async fn the_daemon_matches_what_it_finds_and_follows_the_table() {
    let rig = Rig::new().await;
    rig.row("hospital", "Boone Hospital Center", Some("healthcare"), Some(1.0)).await;
    let text = "Doctors at Boone Hospital Center and at the Quarry Street Clinic saw more patients than ever, the county said on Monday.";
    rig.database.article("a", text).await;
    let mut daemon = Daemon::start(&rig.database.url, &["--workers", "2", "--set", "gazetteer.refresh=0"]);
    let done = async |article: &str| rig.database.count(&format!("article_entities WHERE article_id = '{article}'")).await > 0;
    until("the first article", LONG, || done("a")).await;
    assert_eq!(rig.database.count("article_entities WHERE article_id = 'a' AND matched_gazetteer_id = 'hospital'").await, 1);
    assert_eq!(rig.database.count("article_entities WHERE article_id = 'a' AND matched_gazetteer_id = 'clinic'").await, 0);
    rig.row("clinic", "Quarry Street Clinic", Some("healthcare"), Some(1.0)).await;
    // The very same text: its rows are not copied, since the gazetteer is another one.
    rig.database.article("b", text).await;
    until("the second article", LONG, || done("b")).await;
    assert_eq!(rig.database.count("article_entities WHERE article_id = 'b' AND matched_gazetteer_id IN ('hospital', 'clinic')").await, 2);
    rig.database.article("c", text).await;
    until("the third article", LONG, || done("c")).await;
    assert_eq!(daemon.metric("nerd_cache_hits_total{kind=\"database\"}"), Some(1.0), "now they are");
    assert_eq!(daemon.metric("nerd_gazetteer_builds_total{reason=\"missing\"}"), Some(1.0));
    assert_eq!(daemon.metric("nerd_gazetteer_builds_total{reason=\"changed\"}"), Some(1.0));
    assert_eq!(daemon.metric("nerd_gazetteer_scopes"), Some(1.0));
    assert!(daemon.metric("nerd_stage_duration_seconds_count{stage=\"match\"}").unwrap() >= 2.0);
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(30)), Some(0));

    rig.database.article("d", text).await;
    let off = nerd(&rig.database.url, &["extract", "--precision", "f32", "--workers", "1", "--set", "gazetteer.enabled=false"]);
    assert!(off.status.success(), "{}", String::from_utf8_lossy(&off.stderr));
    assert!(done("d").await);
    assert_eq!(rig.database.count("article_entities WHERE article_id = 'd' AND matched_gazetteer_id IS NOT NULL").await, 0);
}
