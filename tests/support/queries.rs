//! The expressions of the dashboards and of the rules beside them, and what they name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What an expression belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Panel,
    Annotation,
    Alert,
    Record,
}

/// One expression with the name of its panel, annotation, alert or record.
#[derive(Clone, Debug)]
pub struct Query {
    pub owner: Owner,
    pub name: String,
    pub expression: String,
    /// The pattern of a panel's legend; empty elsewhere.
    pub legend: String,
}

/// A selector: a metric, and the labels in its braces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    pub metric: String,
    pub braces: String,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// Every dashboard: the name of its file, and what it says.
pub fn dashboards() -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, value)
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(!all.is_empty());
    all
}

/// A list inside a document; empty where there is none.
pub fn list<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten().collect()
}

/// A text inside a document; empty where there is none.
pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The panels that show something, rows left out.
pub fn panels(dashboard: &Value) -> Vec<&Value> {
    list(dashboard, "/panels").into_iter().filter(|panel| text(panel, "/type") != "row").collect()
}

pub fn yaml(path: &str) -> Value {
    let file = directory().join(path);
    serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rules of a file, its groups one after another.
pub fn rules(file: &str) -> Vec<Value> {
    let parsed = yaml(file);
    let rules: Vec<Value> = list(&parsed, "/groups").into_iter().flat_map(|group| list(group, "/rules")).cloned().collect();
    assert!(!rules.is_empty(), "{file}");
    rules
}

/// Every expression there is.
pub fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    let query = |owner, name: &str, expression: &str, legend: &str| Query {
        owner,
        name: name.to_owned(),
        expression: expression.to_owned(),
        legend: legend.to_owned(),
    };
    for (_, dashboard) in &dashboards() {
        for panel in panels(dashboard) {
            for target in list(panel, "/targets") {
                queries.push(query(Owner::Panel, text(panel, "/title"), text(target, "/expr"), text(target, "/legendFormat")));
            }
        }
        for annotation in list(dashboard, "/annotations/list") {
            queries.push(query(Owner::Annotation, text(annotation, "/name"), text(annotation, "/expr"), ""));
        }
    }
    for rule in rules("alerts.yml") {
        queries.push(query(Owner::Alert, text(&rule, "/alert"), text(&rule, "/expr"), ""));
    }
    for rule in rules("recording.yml") {
        queries.push(query(Owner::Record, text(&rule, "/record"), text(&rule, "/expr"), ""));
    }
    queries
}

/// With Grafana's variables filled in: every job and instance, and this range.
pub fn filled(expression: &str, range: &str) -> String {
    expression.replace("$job", ".+").replace("$instance", ".+").replace("$__rate_interval", range)
}

/// The selectors of an expression. Metrics are told from labels and functions by how this project's names begin.
pub fn selectors(expression: &str) -> BTreeSet<Selector> {
    static SELECTOR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b((?:job|instance):\w[\w:]*|nerd_\w+|process_\w+|up)\b(\{[^}]*\})?").unwrap());
    SELECTOR
        .captures_iter(expression)
        .map(|found| Selector {
            metric: found[1].to_owned(),
            braces: found.get(2).map_or(String::new(), |braces| braces.as_str().to_owned()),
        })
        .collect()
}

/// The metric as its definition names it: a histogram's series have a word more.
pub fn defined(metric: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric)
}
