//! What matching with a gazetteer costs: `make bench-gazetteer`. Scopes of made-up rows are built one after another and all held;
//! the sample articles are annotated by the bundled model on one thread and then matched, each with another scope. Fails when a
//! promise is not met. What the same step costs in Python is measured beside it, on the same rows, texts and entities
//! (`benches/peers/gazetteer_step.py`), which are written for it.

use std::fs::{File, create_dir_all};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nerd::domain::{DeviceChoice, Entity, GazetteerRow, GazetteerVersion, PrecisionChoice};
use nerd::engine::{EngineFactory, EngineOptions, Progress, TransformerFactory};
use nerd::gazetteer::Scope;
use nerd::memory::resident_bytes;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;

/// Promised at most: milliseconds to index a scope, its bytes, and the share of inference that matching an article takes.
const BUILD_MILLISECONDS: f64 = 50.0;
const SCOPE_BYTES: f64 = 10e6;
const SHARE: f64 = 0.05;
/// Passes over the articles.
const ROUNDS: usize = 5;

const CATEGORIES: [(&str, &[&str]); 8] = [
    ("schools", &["Elementary School", "Middle School", "High School", "Academy"]),
    ("healthcare", &["Family Clinic", "Regional Hospital", "Dental Care", "Pharmacy"]),
    ("religious", &["Baptist Church", "United Methodist Church", "Lutheran Church", "Chapel"]),
    ("businesses", &["Bar & Grill", "Auto Repair", "Hardware", "Market", "Insurance Co."]),
    ("government", &["City Hall", "Fire Station", "Post Office", "County Courthouse"]),
    ("sports", &["Sports Complex", "Ball Field", "Gymnasium"]),
    ("landmarks", &["Memorial Park", "State Park", "Bridge", "Cemetery", "Museum"]),
    ("transportation", &["Bus Stop", "Airport", "Depot"]),
];
const SYLLABLES: [&str; 24] = [
    "al", "ash", "bell", "birch", "boone", "cal", "cedar", "clark", "dal", "el", "fair", "frank", "glen", "green", "hall", "hick", "king",
    "lin", "mar", "mill", "oak", "rock", "sal", "wood",
];
const ENDINGS: [&str; 12] = ["der", "land", "ton", "ville", "field", "view", "side", "port", "brook", "crest", "ford", "son"];
const SAINTS: [&str; 10] = ["St. Mary's", "St. Luke's", "First", "Second", "Old", "New", "North", "South", "Upper", "Greater"];

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benches too, without this flag.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let (scopes, rows) = (number("SCOPES", 300), number("ROWS", 8_500));
    let articles = annotated();
    let known = names(&articles);
    let resident = resident_bytes();
    let (mut held, mut builds) = (Vec::new(), Vec::new());
    for seed in 0..scopes {
        let rows = made(rows, seed as u64, &known);
        if seed == 0 {
            write_for_python(&rows, &articles);
        }
        let started = Instant::now();
        held.push(Scope::new(GazetteerVersion("bench".into()), rows).expect("rows of a usual size"));
        builds.push(started.elapsed());
    }
    let grown = resident_bytes().saturating_sub(resident) as f64 / scopes as f64;
    let (mut matches, mut shares, mut found) = (Vec::new(), Vec::new(), [0usize; 3]);
    for round in 0..ROUNDS {
        for (place, article) in articles.iter().enumerate() {
            let (scope, entities) = (&held[(round * articles.len() + place) % held.len()], article.entities.clone());
            let started = Instant::now();
            let mentions = scope.mentions(&article.text, entities);
            let taken = started.elapsed();
            matches.push(taken);
            shares.push(taken.as_secs_f64() / article.inference.as_secs_f64());
            found[0] += mentions.len();
            found[1] += mentions.iter().filter(|mention| mention.matched.as_ref().is_some_and(|matched| matched.is_exact())).count();
            found[2] += mentions.iter().filter(|mention| mention.matched.is_some()).count();
        }
    }
    let inference: Duration = articles.iter().map(|article| article.inference).sum();
    let share = matches.iter().sum::<Duration>().as_secs_f64() / (inference.as_secs_f64() * ROUNDS as f64);
    let bytes = held.iter().map(Scope::bytes).max().unwrap_or(0) as f64;
    let build = quantile(&mut milliseconds(&builds), 0.99);
    let promises = [
        ("indexing a scope, p99, ms", build, BUILD_MILLISECONDS),
        ("memory a scope, the largest by its own account, MB", bytes / 1e6, SCOPE_BYTES / 1e6),
        ("memory a scope, resident, MB", grown / 1e6, SCOPE_BYTES / 1e6),
        ("matching, share of inference, %", share * 100.0, SHARE * 100.0),
    ];
    let per_article = found.map(|count| count as f64 / matches.len() as f64);
    println!(
        "{scopes} scopes of {rows} rows, {} articles: indexing p50 {:.1} ms; matching p50 {:.2} ms, p99 {:.2} ms an article, inference {:.1} ms; \
         {:.1} mentions an article, {:.1} of the same name as a row, {:.1} of a similar one",
        articles.len(),
        quantile(&mut milliseconds(&builds), 0.5),
        quantile(&mut milliseconds(&matches), 0.5),
        quantile(&mut milliseconds(&matches), 0.99),
        inference.as_secs_f64() * 1e3 / articles.len() as f64,
        per_article[0],
        per_article[1],
        per_article[2] - per_article[1],
    );
    let mut kept = true;
    for (what, value, most) in promises {
        kept &= value <= most;
        println!("{what}: {value:.2}, promised {most}{}", if value <= most { "" } else { ": NOT MET" });
    }
    let report = json!({
        "scopes": scopes, "rows": rows, "articles": articles.len(), "build_p99_ms": build, "scope_mb": bytes / 1e6, "resident_mb": grown / 1e6,
        "share_percent": share * 100.0, "match_mean_ms": matches.iter().sum::<Duration>().as_secs_f64() * 1e3 / matches.len() as f64,
    });
    std::fs::write(directory().join("report.json"), format!("{report:#}\n")).unwrap();
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Article {
    text: String,
    entities: Vec<Entity>,
    inference: Duration,
}

/// The sample articles, each annotated alone.
fn annotated() -> Vec<Article> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = EngineOptions {
        model_directory: root.join("models/news-ner"),
        device: DeviceChoice::Cpu,
        precision: PrecisionChoice::Auto,
        batch_tokens: 0,
        threads_per_worker: 1,
    };
    let mut engine = TransformerFactory::load(&options).and_then(|factory| factory.build()).expect("the bundled model");
    let mut paths: Vec<_> = std::fs::read_dir(root.join("tests/data/articles")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let texts: Vec<String> = paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let mut annotate = |text: &str| {
        let started = Instant::now();
        let found = engine.annotate(&[text], &Progress::default()).expect("a sample article").texts.remove(0).expect("a sample article");
        (found, started.elapsed())
    };
    // Once to warm up.
    texts.iter().for_each(|text| drop(annotate(text)));
    texts
        .into_iter()
        .map(|text| {
            let (entities, inference) = annotate(&text);
            Article { text, entities, inference }
        })
        .collect()
}

/// Every fourth name that the model found, some of them a little changed: so that there is something to match.
fn names(articles: &[Article]) -> Vec<String> {
    let mut names: Vec<String> = articles
        .iter()
        .flat_map(|article| &article.entities)
        .filter(|entity| matches!(&*entity.label, "ORG" | "FAC" | "LOC") && entity.text.len() > 5)
        .map(|entity| entity.text.clone())
        .collect();
    names.sort();
    names.dedup();
    let near = |(place, name): (usize, String)| if place % 8 == 0 { name.replacen('e', "", 1) } else { name };
    names.into_iter().enumerate().filter(|(place, _)| place % 4 == 0).map(near).collect()
}

/// Rows of a made-up county, and the known names.
fn made(count: usize, seed: u64, known: &[String]) -> Vec<GazetteerRow> {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    (0..count)
        .map(|number| {
            let (category, kinds) = CATEGORIES.choose(&mut random).unwrap();
            let name = known.get(number).cloned().unwrap_or_else(|| {
                let mut words: Vec<String> = Vec::new();
                if random.random_bool(0.5) {
                    words.push((*SAINTS.choose(&mut random).unwrap()).to_owned());
                }
                for _ in 0..random.random_range(1..=2) {
                    words.push(head(&mut random));
                }
                words.push((*kinds.choose(&mut random).unwrap()).to_owned());
                words.join(" ")
            });
            let norm = nerd::domain::norm::normal_form(&name);
            GazetteerRow {
                id: format!("{:08x}-{:04x}-4000-8000-{number:012x}", random.random::<u32>(), random.random::<u16>()),
                name,
                name_norm: Some(norm),
                category: Some((*category).to_owned()),
                distance_miles: Some(random.random_range(0.0..40.0)),
            }
        })
        .collect()
}

fn head(random: &mut rand::rngs::StdRng) -> String {
    let word = format!("{}{}", SYLLABLES.choose(random).unwrap(), ENDINGS.choose(random).unwrap());
    word[..1].to_uppercase() + &word[1..]
}

/// Where the reports are, and what Python reads.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/gazetteer")
}

/// The first scope's rows and the articles with their entities, as JSON lines.
fn write_for_python(rows: &[GazetteerRow], articles: &[Article]) {
    let directory = directory();
    create_dir_all(&directory).unwrap();
    let mut file = BufWriter::new(File::create(directory.join("rows.jsonl")).unwrap());
    for row in rows {
        writeln!(file, "{}", json!({ "id": row.id, "name": row.name, "name_norm": row.name_norm, "category": row.category })).unwrap();
    }
    let mut file = BufWriter::new(File::create(directory.join("articles.jsonl")).unwrap());
    for article in articles {
        let inference = article.inference.as_secs_f64();
        writeln!(file, "{}", json!({ "text": article.text, "entities": article.entities, "inference_seconds": inference })).unwrap();
    }
}

fn milliseconds(durations: &[Duration]) -> Vec<f64> {
    durations.iter().map(|duration| duration.as_secs_f64() * 1e3).collect()
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// A number of the environment.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .map_or(default, |value| value.replace('_', "").parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}
