//! From an article and what the model finds in it to the very rows in the host's tables, on a real PostgreSQL: by our rules, and by
//! the strict ones, which are those of the replaced step. Only the model is told what to find.

mod support;

use std::sync::Arc;
use std::time::Duration;

use nerd::actors::job::Prepared;
use nerd::actors::matcher::mentions;
use nerd::actors::scopes::{ScopeOptions, Scopes};
use nerd::compat;
use nerd::domain::rot47::{Preparation, rotate};
use nerd::domain::{Compat, Entity, RowRules, ScopeKey};
use nerd::metrics::Metrics;
use nerd::store::postgres::{PostgresStore, StoreOptions};
use nerd::store::{ArticleStore, ClaimRequest, Claimant};
use support::database::Database;
use uuid::Uuid;

/// Id, name, name_norm, category.
type Place = (&'static str, &'static str, Option<&'static str>, &'static str);

#[derive(Default)]
struct Case {
    name: &'static str,
    text: String,
    /// Words of the text as it is read, and their label; the next occurrence behind the one before.
    entities: Vec<(&'static str, &'static str)>,
    gazetteer: Vec<Place>,
    /// A line a row, in the order of the ids' text or offsets: see `shown`.
    expected: Vec<&'static str>,
}

fn case(name: &'static str, text: impl Into<String>, entities: &[(&'static str, &'static str)], expected: &[&'static str]) -> Case {
    Case { name, text: text.into(), entities: entities.to_vec(), gazetteer: Vec::new(), expected: expected.to_vec() }
}

fn with(gazetteer: &[Place], case: Case) -> Case {
    Case { gazetteer: gazetteer.to_vec(), ..case }
}

const SENTINEL: &str = "__NO_ENTITIES_FOUND__|__no_entities_found__|SENTINEL||1.00||No location entities found in article text";

fn scrambled(text: &str) -> String {
    text.chars().map(rotate).collect()
}

fn located(text: &str, wanted: &[(&str, &str)]) -> Vec<Entity> {
    let mut from = 0;
    let find = |&(part, label): &(&str, &str)| {
        let byte = from + text[from..].find(part).unwrap_or_else(|| panic!("{part:?} is not in {text:?}"));
        from = byte + part.len();
        let start = text[..byte].chars().count();
        Entity { text: part.to_owned(), label: label.into(), start, end: start + part.chars().count(), score: 0.75 }
    };
    wanted.iter().map(find).collect()
}

/// text|norm|label|category/subcategory|confidence|match|place and provenance.
fn shown(row: &tokio_postgres::Row) -> String {
    let text = |name: &str| row.get::<_, Option<String>>(name).unwrap_or_default();
    let category =
        [text("osm_category"), text("osm_subcategory")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let confidence = row.get::<_, Option<f64>>("confidence").map_or_else(String::new, |value| format!("{value:.2}"));
    let matched = row
        .get::<_, Option<f64>>("match_score")
        .map_or_else(String::new, |score| format!("{} {} {score:.3}", text("matched_gazetteer_id"), text("match_name")));
    let meta: serde_json::Value = serde_json::from_str(row.get("meta")).unwrap();
    let keys: Vec<&str> = meta.as_object().unwrap().keys().map(String::as_str).filter(|key| *key != "gazetteer").collect();
    let place = if meta["sentinel"] == true {
        assert_eq!(keys.len(), 2, "{meta}");
        meta["reason"].as_str().unwrap().to_owned()
    } else {
        assert_eq!(meta["label"].as_str(), Some(text("entity_label").as_str()));
        let known = ["start_char", "end_char", "label", "origin", "decoded"];
        assert!(keys.iter().all(|key| known.contains(key)), "{meta}");
        let decoded = if meta["decoded"] == true { " decoded" } else { "" };
        let origin = meta["origin"].as_str().map_or_else(String::new, |origin| format!(" {origin}"));
        format!("{}-{}{origin}{decoded}", meta["start_char"], meta["end_char"])
    };
    [text("entity_text"), text("entity_norm"), text("entity_label"), category, confidence, matched, place].join("|")
}

struct Rig {
    database: Database,
    rules: RowRules,
    number: std::sync::atomic::AtomicUsize,
}

impl Rig {
    async fn new(rules: RowRules) -> Self {
        Self { database: Database::migrated(false).await, rules, number: Default::default() }
    }

    fn store(&self) -> Arc<PostgresStore> {
        let options = StoreOptions { rules: self.rules.clone(), ..self.database.options() };
        Arc::new(PostgresStore::new(&options, Claimant { boot_id: Uuid::new_v4(), host: "h".to_owned() }).unwrap())
    }

    /// The article through claim, preparation, matching and completion; its rows, as lines.
    async fn rows(&self, case: &Case) -> Vec<String> {
        let number = self.number.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (id, source) = (format!("article-{number}"), format!("source-{number}"));
        self.gazetteer(&source, &case.gazetteer).await;
        self.database.article_of(&source, &id, Some(&case.text), Some(""), "cleaned").await;
        let store = self.store();
        assert_eq!(store.discover().await.unwrap(), 1);
        let batch = store.claim(&ClaimRequest { limit: 9, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap();
        let article = batch.articles[0].clone();
        let key = ScopeKey::new(article.source_id.as_deref(), article.dataset_id.as_deref());
        let options = ScopeOptions { memory_bytes: 1 << 20, refresh: Duration::ZERO, compat: self.rules.compat };
        let scope = Scopes::new(options, store.clone(), Metrics::new()).of(&[key]).await.unwrap().pop().unwrap();
        assert_eq!(scope.is_some(), !case.gazetteer.is_empty());
        let preparation = match self.rules.compat {
            Compat::Mended => Preparation::DECODE,
            Compat::Strict => Preparation(compat::decode_rot47),
        };
        let prepared = Prepared { decoded: preparation.read(&article.text), article, scope };
        let entities = located(prepared.text(), &case.entities);
        let found = mentions(prepared.scope.as_deref(), prepared.text(), entities);
        let completion = store.complete(batch.token, support::version(), &[prepared.annotated(found)]).await.unwrap();
        assert_eq!(completion.done.len(), 1);
        let sql = "SELECT id, entity_text, entity_norm, entity_label, osm_category, osm_subcategory, confidence, matched_gazetteer_id, match_score,
                match_name, meta::text AS meta
            FROM article_entities
            WHERE article_id = $1 AND extractor_version = 'nerd-test' AND article_text_hash = md5($2)
                AND created_at BETWEEN (now() AT TIME ZONE 'UTC') - interval '1 minute' AND now() AT TIME ZONE 'UTC'
            ORDER BY (article_entities.meta ->> 'start_char')::int, (article_entities.meta ->> 'end_char')::int, entity_label";
        let rows = self.database.client.query(sql, &[&id, &case.text]).await.unwrap();
        assert_eq!(rows.len() as u64, completion.rows, "all have version, hash and a fresh time in UTC");
        for row in &rows {
            let id: Uuid = row.get::<_, &str>("id").parse().unwrap();
            assert_eq!(id.get_version_num(), 4);
        }
        rows.iter().map(shown).collect()
    }

    async fn gazetteer(&self, source: &str, places: &[Place]) {
        let client = &self.database.client;
        client
            .execute("INSERT INTO sources (id, host, host_norm) VALUES ('s-' || $1::text, $1::text, $1::text)", &[&source])
            .await
            .unwrap();
        let dataset = "INSERT INTO datasets (id, slug, label, ingested_at) VALUES ('d', 'd', 'd', now()) ON CONFLICT DO NOTHING";
        client.execute(dataset, &[]).await.unwrap();
        for (id, name, norm, category) in places {
            let sql = "INSERT INTO gazetteer (id, name, name_norm, category, source_id, dataset_id) VALUES ($1::text || $5::text, $2, $3, $4, 's-' || $5::text, 'd')";
            client.execute(sql, &[id, name, norm, category, &source]).await.unwrap();
        }
    }

    async fn hold(&self, cases: Vec<Case>) {
        for case in cases {
            let found: Vec<String> = self.rows(&case).await.iter().map(|line| without_source(line)).collect();
            assert_eq!(found, case.expected, "{}: {:?}", case.name, case.text);
        }
    }
}

/// Gazetteer ids end with their case's source, so that they are unique.
fn without_source(line: &str) -> String {
    match line.split_once("source-") {
        Some((before, after)) => before.to_owned() + after.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => line.to_owned(),
    }
}

const LIBRARY: Place = ("g", "Boone County Library", Some("boone county library"), "Government");
const FIELD: Place = ("f", "Faurot Field", None, "sports");
const FRIDAY: Place = ("b", "Friday", Some("friday"), "businesses");
const MARYS: Place = ("m", "St. Mary's Hospital", Some("st. mary's hospital"), "healthcare");
const CAFE: Place = ("c", "Café Berlin", Some("café berlin"), "entertainment");
const LABELS: &[(&str, &str)] = &[
    ("Ann Lee", "PERSON"),
    ("Missouri", "GPE"),
    ("Ozarks", "LOC"),
    ("Depot", "FAC"),
    ("Rotary Club", "ORG"),
    ("Missourians", "NORP"),
    ("Roots Festival", "EVENT"),
];
const LABELLED: &str = "Ann Lee of Missouri and the Ozarks at the Depot, Rotary Club, Missourians, Roots Festival";

#[tokio::test]
async fn by_our_rules() {
    let rig = Rig::new(RowRules::default()).await;
    rig.hold(vec![
        case("empty", "", &[], &[SENTINEL]),
        case("nothing", "it rained", &[], &[SENTINEL]),
        case("only what is dropped", "Friday, $5 and 7 %", &[("Friday", "DATE"), ("$5", "MONEY"), ("7 %", "PERCENT")], &[SENTINEL]),
        case("labels", LABELLED, LABELS, &[
            "Ann Lee|ann lee|PERSON|person|0.75||0-7 model",
            "Missouri|missouri|GPE|place|0.75||11-19 model",
            "Ozarks|ozarks|LOC|place|0.75||28-34 model",
            "Depot|depot|FAC|landmark|0.75||42-47 model",
            "Rotary Club|rotary club|ORG|institution|0.75||49-60 model",
            "Missourians|missourians|NORP|institution/demographic|0.75||62-73 model",
            "Roots Festival|roots festival|EVENT|event|0.75||75-89 model",
        ]),
        case(
            "keywords",
            "Barbara Foundation, Princeton Group, Barnes & Noble, Embarq, University Hospital, Medical School, First State Bank, Hickman High School",
            &[
                ("Barbara Foundation", "ORG"), ("Princeton Group", "ORG"), ("Barnes & Noble", "ORG"), ("Embarq", "ORG"), ("University Hospital", "ORG"),
                ("Medical School", "ORG"), ("First State Bank", "ORG"), ("Hickman High School", "ORG"),
            ],
            &[
                "Barbara Foundation|barbara foundation|ORG|institution|0.75||0-18 model",
                "Princeton Group|princeton group|ORG|institution|0.75||20-35 model",
                "Barnes & Noble|barnes noble|ORG|institution|0.75||37-51 model",
                "Embarq|embarq|ORG|institution|0.75||53-59 model",
                "University Hospital|university hospital|ORG|institution/healthcare|0.75||61-80 model",
                "Medical School|medical school|ORG|institution/healthcare|0.75||82-96 model",
                "First State Bank|first state bank|ORG|business|0.75||98-114 model",
                "Hickman High School|hickman high school|ORG|school/education|0.75||116-135 model",
            ],
        ),
        case("the first mention", "Boone County, BOONE  COUNTY and Boone County", &[("Boone County", "LOC"), ("BOONE  COUNTY", "LOC"), ("Boone County", "ORG")], &[
            "Boone County|boone county|LOC|place|0.75||0-12 model",
            "Boone County|boone county|ORG|institution|0.75||32-44 model",
        ]),
        case("norms", "New—York’s Finest!! U.S. 7-Eleven #1234 City_Hall Café Berlin", &[("New—York’s Finest!!", "ORG"), ("U.S.", "GPE"), ("7-Eleven #1234", "ORG"), ("City_Hall", "FAC"), ("Café Berlin", "ORG")], &[
            "New—York’s Finest!!|new-york's finest|ORG|institution|0.75||0-19 model",
            "U.S.|u s|GPE|place|0.75||20-24 model",
            "7-Eleven #1234|7-eleven 1234|ORG|institution|0.75||25-39 model",
            "City_Hall|city hall|FAC|landmark|0.75||40-49 model",
            "Café Berlin|caf berlin|ORG|institution|0.75||50-61 model",
        ]),
        case("names without ASCII stay apart, places count code points", "😀 北京 и Москва", &[("北京", "LOC"), ("Москва", "LOC")], &[
            "北京|北京|LOC|place|0.75||2-4 model",
            "Москва|москва|LOC|place|0.75||7-13 model",
        ]),
        case("scrambled prose is read, its places are the stored text's", format!("Noon. {}", scrambled("<p>The mayor of Boone County met Ann Lee on Monday.</p>")), &[("Boone County", "LOC"), ("Ann Lee", "PERSON")], &[
            "Boone County|boone county|LOC|place|0.75||22-34 model decoded",
            "Ann Lee|ann lee|PERSON|person|0.75||39-46 model decoded",
        ]),
        case("symbols are left alone", "kAm a:b1:c d:e2:f g:h3:i j:k4:l m:n5:o p:q6:r done Ann Lee", &[("Ann Lee", "PERSON")], &["Ann Lee|ann lee|PERSON|person|0.75||51-58 model"]),
        with(&[LIBRARY], case("the same name", "at BOONE COUNTY LIBRARY", &[("BOONE COUNTY LIBRARY", "ORG")], &[
            "BOONE COUNTY LIBRARY|boone county library|ORG|institution/government|0.75|g Boone County Library 1.000|3-23 both",
        ])),
        with(&[LIBRARY], case("a similar name", "Boone Cnty Library", &[("Boone Cnty Library", "ORG")], &[
            "Boone Cnty Library|boone cnty library|ORG|institution|0.75|g Boone County Library 0.947|0-18 model",
        ])),
        with(&[MARYS], case("a name that the model missed", "near St. Mary’s\nHospital", &[], &[
            "St. Mary’s\nHospital|st mary's hospital|ORG|institution/healthcare|1.00|m St. Mary's Hospital 1.000|5-24 gazetteer",
        ])),
        with(&[CAFE], case("accents match", "at Café Berlin", &[("Café Berlin", "ORG")], &["Café Berlin|caf berlin|ORG|institution/entertainment|0.75|c Café Berlin 1.000|3-14 both"])),
        with(&[FIELD], case("a person stays one", "Faurot Field spoke", &[("Faurot Field", "PERSON")], &["Faurot Field|faurot field|PERSON|person|0.75|f Faurot Field 1.000|0-12 both"])),
        with(&[FRIDAY], case("a date is no business", "on Friday", &[("Friday", "DATE")], &[SENTINEL])),
        with(&[("t", "Columbiana", None, "businesses")], case("a town is no shop", "Columbia", &[("Columbia", "GPE")], &["Columbia|columbia|GPE|place|0.75||0-8 model"])),
        with(&[("l", "Columbia Public Library", None, "government")], case("the longer name wins", "the Columbia Public Library", &[("Columbia", "GPE")], &[
            "Columbia Public Library|columbia public library|ORG|institution/government|1.00|l Columbia Public Library 1.000|4-27 gazetteer",
        ])),
        with(&[("t", "Target", None, "businesses")], case("common words are no names", "a targeted target, then Target", &[], &["Target|target|ORG|business|1.00|t Target 1.000|24-30 gazetteer"])),
    ])
    .await;
}

#[tokio::test]
async fn by_the_strict_rules() {
    let rig = Rig::new(RowRules { compat: Compat::Strict, ..RowRules::default() }).await;
    let seven = "Intro kAm>:I:?8` >:I:?8a >:I:?8b >:I:?8c >:I:?8d >:I:?8e >:I:?8fk^Am Outro";
    rig.hold(vec![
        case("empty", "", &[], &[SENTINEL]),
        case("only what is dropped", "Friday, $5", &[("Friday", "DATE"), ("$5", "MONEY")], &[SENTINEL]),
        case(
            "labels",
            LABELLED,
            LABELS,
            &[
                "Ann Lee|ann lee|PERSON|person|||0-7",
                "Missouri|missouri|GPE|place|||11-19",
                "Ozarks|ozarks|LOC|place|||28-34",
                "Depot|depot|FAC|landmark|||42-47",
                "Rotary Club|rotary club|ORG|institution|||49-60",
                "Missourians|missourians|NORP|institution/demographic|||62-73",
                "Roots Festival|roots festival|EVENT|event|||75-89",
            ],
        ),
        case(
            "keywords",
            "Barbara Foundation, Barnes & Noble, University Hospital, Boone Clinic",
            &[("Barbara Foundation", "ORG"), ("Barnes & Noble", "ORG"), ("University Hospital", "ORG"), ("Boone Clinic", "ORG")],
            &[
                "Barbara Foundation|barbara foundation|ORG|business|||0-18",
                "Barnes & Noble|barnes noble|ORG|business|||20-34",
                "University Hospital|university hospital|ORG|school/education|||36-55",
                "Boone Clinic|boone clinic|ORG|institution/healthcare|||57-69",
            ],
        ),
        case("names without ASCII are one", "北京 и Москва", &[("北京", "LOC"), ("Москва", "LOC")], &["北京||LOC|place|||0-2"]),
        case(
            "prose stays scrambled",
            format!("{} Ann Lee", scrambled("<p>The mayor of Boone County met us on Monday.</p>")),
            &[("Ann Lee", "PERSON")],
            &["Ann Lee|ann lee|PERSON|person|||51-58"],
        ),
        case(
            "places are the decoded text's",
            seven,
            &[("mixing3", "ORG"), ("Outro", "PERSON")],
            &["mixing3|mixing3|ORG|institution|||22-29", "Outro|outro|PERSON|person|||62-67"],
        ),
        with(
            &[LIBRARY],
            case(
                "the same name",
                "at BOONE COUNTY LIBRARY",
                &[("BOONE COUNTY LIBRARY", "ORG")],
                &["BOONE COUNTY LIBRARY|boone county library|ORG|institution/government|||3-23"],
            ),
        )
        .matched("g Boone County Library 1.000"),
        with(
            &[LIBRARY],
            case(
                "a similar name, whatever the label",
                "Boone Cnty Library",
                &[("Boone Cnty Library", "PERSON")],
                &["Boone Cnty Library|boone cnty library|PERSON|person|||0-18"],
            ),
        )
        .matched("g Boone County Library 0.947"),
        with(&[MARYS], case("nothing is folded", "near St. Mary’s\nHospital", &[], &[SENTINEL])),
        with(
            &[CAFE],
            case(
                "accents only resemble",
                "at Café Berlin",
                &[("Café Berlin", "ORG")],
                &["Café Berlin|caf berlin|ORG|institution/entertainment|||3-14"],
            ),
        )
        .matched("c Café Berlin 0.952"),
        with(
            &[FIELD],
            case(
                "a known name's category, whatever the label",
                "Faurot Field spoke",
                &[("Faurot Field", "PERSON")],
                &["Faurot Field|faurot field|PERSON|institution/sports|||0-12"],
            ),
        )
        .matched("f Faurot Field 1.000"),
        with(&[FRIDAY], case("a date is rescued", "on Friday", &[("Friday", "DATE")], &["Friday|friday|DATE|business|||3-9"]))
            .matched("b Friday 1.000"),
        with(
            &[("t", "Columbiana", None, "businesses")],
            case("a town resembles a shop", "Columbia", &[("Columbia", "GPE")], &["Columbia|columbia|GPE|place|||0-8"]),
        )
        .matched("t Columbiana 0.889"),
        with(
            &[("l", "Columbia Public Library", None, "government")],
            case("the model wins", "the Columbia Public Library", &[("Columbia", "GPE")], &["Columbia|columbia|GPE|place|||4-12"]),
        ),
        with(
            &[("t", "Target", None, "landmarks")],
            case("common words are names", "a targeted target", &[], &["target|target|FAC|landmark|||11-17"]),
        )
        .matched("t Target 1.000"),
    ])
    .await;
}

impl Case {
    /// The match of the only row.
    fn matched(mut self, shown: &'static str) -> Self {
        let parts: Vec<&str> = self.expected[0].split('|').collect();
        let line = [&parts[..5], &[shown], &parts[6..]].concat().join("|");
        self.expected = vec![line.leak()];
        self
    }
}

#[tokio::test]
async fn labels_are_renamed_before_names_are_compared() {
    let rules = RowRules { labels: "LOC=GPE".parse().unwrap(), ..RowRules::default() };
    let rig = Rig::new(rules).await;
    let text = "Columbia, again Columbia, the Ozarks";
    let entities = [("Columbia", "LOC"), ("Columbia", "GPE"), ("Ozarks", "LOC")];
    let expected = ["Columbia|columbia|GPE|place|0.75||0-8 model", "Ozarks|ozarks|GPE|place|0.75||30-36 model"];
    rig.hold(vec![case("renamed", text, &entities, &expected)]).await;
}

#[tokio::test]
async fn categories_are_configuration() {
    let mut rules = RowRules::default();
    rules.categories.labels = "PERSON=people, ORG=group/other, DATE=time".parse().unwrap();
    rules.categories.keywords = "media: herald".parse().unwrap();
    let rig = Rig::new(rules).await;
    let entities = [("Ann Lee", "PERSON"), ("Herald", "ORG"), ("Boone Bank", "ORG"), ("Friday", "DATE"), ("Ozarks", "LOC")];
    let expected = [
        "Ann Lee|ann lee|PERSON|people|0.75||0-7 model",
        "Herald|herald|ORG|media|0.75||15-21 model",
        "Boone Bank|boone bank|ORG|group/other|0.75||23-33 model",
        "Friday|friday|DATE|time|0.75||35-41 model",
    ];
    rig.hold(vec![case("own tables", "Ann Lee of the Herald, Boone Bank, Friday, Ozarks", &entities, &expected)]).await;
}

/// Rows of other versions stay, hashes are copied whatever they are, nothing else of the host's is written.
#[tokio::test]
async fn other_rows_and_columns_stay() {
    let database = Database::migrated(false).await;
    for (id, hash) in [("null", None), ("odd", Some("sha256:not a hash"))] {
        database.article(id, "Ann Lee").await;
        database.client.execute("UPDATE articles SET text_hash = $2 WHERE id = $1", &[&id, &hash]).await.unwrap();
    }
    let before = "SELECT string_agg(row_to_json(a)::text || row_to_json(l)::text, ',' ORDER BY a.id) FROM articles a JOIN candidate_links l ON l.id = a.candidate_link_id";
    let host: String = database.client.query_one(before, &[]).await.unwrap().get(0);
    let store = database.store();
    store.discover().await.unwrap();
    let batch = store.claim(&ClaimRequest { limit: 9, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap();
    // Written by somebody else meanwhile: an old row of ours, and those of other versions.
    let rows = "INSERT INTO article_entities (id, article_id, entity_text, entity_norm, entity_label, extractor_version, created_at)
        SELECT v.version || a.id, a.id, 'Old', 'old', 'ORG', nullif(v.version, 'none'), now()
        FROM articles a CROSS JOIN (VALUES ('nerd-test'), ('spacy-en_core_web_sm-3.8.7'), ('none')) AS v (version)";
    database.client.execute(rows, &[]).await.unwrap();
    let annotated: Vec<_> = batch
        .articles
        .iter()
        .map(|article| {
            let prepared = Prepared { article: article.clone(), decoded: None, scope: None };
            let found = mentions(None, &article.text, located(&article.text, &[("Ann Lee", "PERSON")]));
            prepared.annotated(found)
        })
        .collect();
    store.complete(batch.token, support::version(), &annotated).await.unwrap();
    let found = database
        .client
        .query("SELECT article_id, extractor_version, entity_text, article_text_hash FROM article_entities ORDER BY 1, 2 NULLS LAST", &[])
        .await
        .unwrap();
    let found: Vec<(String, Option<String>, String, Option<String>)> =
        found.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3))).collect();
    let row = |article: &str, version: Option<&str>, text: &str, hash: Option<&str>| {
        (article.to_owned(), version.map(str::to_owned), text.to_owned(), hash.map(str::to_owned))
    };
    let odd = Some("sha256:not a hash");
    assert_eq!(
        found,
        [
            row("null", Some("nerd-test"), "Ann Lee", None),
            row("null", Some("spacy-en_core_web_sm-3.8.7"), "Old", None),
            row("null", None, "Old", None),
            row("odd", Some("nerd-test"), "Ann Lee", odd),
            row("odd", Some("spacy-en_core_web_sm-3.8.7"), "Old", None),
            row("odd", None, "Old", None),
        ]
    );
    assert_eq!(database.client.query_one(before, &[]).await.unwrap().get::<_, String>(0), host, "the host's own rows");
}
