//! What dashboards and alerts must be, judged without running them: the rules of Grafana's dashboard linter (a program in Go,
//! which not every machine has), and this project's own. Whether they show anything, tests/observability.rs tells.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use nerd::metrics::{Metrics, table};
use regex::Regex;
use serde_json::Value;
use support::prometheus::program;
use support::queries::{Owner, dashboards, defined, filled, list, panels, queries, rules, selectors, text, yaml};

/// Units that the panels use, by Grafana's own identifiers.
const UNITS: &[&str] = &["none", "bytes", "s", "ops", "count:words/s", "percentunit"];
/// Counters whose value is what is asked for: how often, in a process's life.
const ABSOLUTE: &[&str] = &["nerd_model_weight_reads_total"];

fn page(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names of every metric that the process exports, the standard ones too.
fn exported() -> BTreeSet<String> {
    let metrics = Metrics::new();
    metrics.prepare(1, &["PERSON".to_owned()]);
    metrics.model("m", "ab", "int8", "cpu", true);
    let text = metrics.render();
    let names: BTreeSet<String> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(str::to_owned).collect();
    assert!(table::ALL.iter().all(|definition| names.contains(definition.name)));
    assert!(names.contains("process_resident_memory_bytes"));
    names
}

#[test]
fn variables_are_the_usual_three() {
    for (file, dashboard) in dashboards() {
        let variables = list(&dashboard, "/templating/list");
        let names: Vec<&str> = variables.iter().map(|variable| text(variable, "/name")).collect();
        assert_eq!(names, ["datasource", "job", "instance"], "{file}");
        let source = variables[0];
        assert_eq!((text(source, "/type"), text(source, "/query"), text(source, "/label")), ("datasource", "prometheus", "Data Source"));
        for (variable, label) in variables[1..].iter().zip(["Job", "Instance"]) {
            assert_eq!((text(variable, "/label"), text(variable, "/type")), (label, "query"), "{file}");
            assert_eq!(text(variable, "/datasource/uid"), "${datasource}", "{file}");
            assert_eq!((variable["multi"].as_bool(), text(variable, "/allValue")), (Some(true), ".+"), "{file}");
            assert_eq!(variable["refresh"], 2, "{file}: variables follow the time range");
            assert!(text(variable, "/definition").starts_with("label_values(nerd_build_info"), "{file}");
            assert_eq!(variable["definition"], variable["query"]["query"], "{file}");
        }
    }
}

#[test]
fn a_dashboard_is_found_by_its_uid_and_kept_in_its_file() {
    let mut seen = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        assert_eq!(dashboard["editable"], false, "{file}");
        assert!(!text(&dashboard, "/uid").is_empty() && seen.insert(text(&dashboard, "/uid").to_owned()), "{file}");
        assert!(!text(&dashboard, "/title").is_empty() && !text(&dashboard, "/description").is_empty(), "{file}");
        let rows: Vec<&str> =
            list(&dashboard, "/panels").into_iter().filter(|panel| panel["type"] == "row").map(|row| text(row, "/title")).collect();
        assert!(rows.first().is_some_and(|first| first.starts_with("The promise")), "{file}: {rows:?}");
    }
}

#[test]
fn panels_say_what_they_show() {
    for (file, dashboard) in dashboards() {
        let (mut titles, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels(&dashboard) {
            let title = text(panel, "/title");
            assert!(!title.is_empty() && titles.insert(title), "{file}: {title:?} twice, or none");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: {title}: its id is taken");
            assert!(text(panel, "/description").ends_with('.'), "{file}: {title} has no description");
            assert_eq!(text(panel, "/datasource/uid"), "${datasource}", "{file}: {title}");
            let mapped = !list(panel, "/fieldConfig/defaults/mappings").is_empty();
            assert!(mapped || UNITS.contains(&text(panel, "/fieldConfig/defaults/unit")), "{file}: {title} has no unit");
            let targets = list(panel, "/targets");
            assert!(!targets.is_empty(), "{file}: {title} asks nothing");
            for target in targets {
                assert_eq!(text(target, "/datasource/uid"), "${datasource}", "{file}: {title}");
                assert!(!text(target, "/legendFormat").is_empty(), "{file}: {title}");
            }
        }
    }
}

#[test]
fn panels_do_not_lie_on_each_other() {
    for (file, dashboard) in dashboards() {
        let mut taken = BTreeMap::new();
        for panel in list(&dashboard, "/panels") {
            let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(side("x") + side("w") <= 24, "{file}: {}", panel["title"]);
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    if let Some(other) = taken.insert((x, y), text(panel, "/title")) {
                        panic!("{file}: {} lies on {other}", panel["title"]);
                    }
                }
            }
        }
    }
}

#[test]
fn every_selector_of_a_dashboard_goes_by_job_and_instance() {
    for query in queries().iter().filter(|query| matches!(query.owner, Owner::Panel | Owner::Annotation)) {
        let selectors = selectors(&query.expression);
        assert!(!selectors.is_empty(), "{}: {}", query.name, query.expression);
        for selector in selectors {
            for matcher in ["job=~\"$job\"", "instance=~\"$instance\""] {
                assert!(selector.braces.contains(matcher), "{}: {} lacks {matcher}", query.name, selector.metric);
            }
        }
    }
}

#[test]
fn counters_are_seen_as_rates_over_grafanas_interval() {
    let range = Regex::new(r"(\w+)\((\w+)\{[^}]*\}\[([^\]]+)\]\)").unwrap();
    let counter = Regex::new(r"\w+_(?:total|bucket|sum|count)\{[^}]*\}(\[)?").unwrap();
    for query in queries().iter().filter(|query| matches!(query.owner, Owner::Panel | Owner::Annotation)) {
        for found in range.captures_iter(&query.expression) {
            let (function, metric, range) = (&found[1], &found[2], &found[3]);
            // A day is what the panel's title says; anything else goes by what the screen can show.
            let asked_for = range == "24h" && function == "increase" && query.name.contains("24 h");
            assert!(range == "$__rate_interval" || asked_for, "{}: {function} over {range}", query.name);
            if function != "changes" {
                let counts = ["_total", "_bucket", "_sum", "_count"].iter().any(|end| metric.ends_with(end));
                assert!(counts, "{}: {function} of {metric}, which is no counter", query.name);
            }
        }
        for found in counter.captures_iter(&query.expression) {
            let absolute = ABSOLUTE.iter().any(|name| found[0].starts_with(name));
            assert!(found.get(1).is_some() || absolute, "{}: {} grows for ever", query.name, &found[0]);
        }
    }
}

/// The same parser as Prometheus' own: every expression as a rule of a file that promtool checks.
#[test]
fn every_expression_of_a_dashboard_is_valid() {
    let rules: Vec<Value> = queries()
        .iter()
        .enumerate()
        .map(|(number, query)| serde_json::json!({ "record": format!("checked:{number}"), "expr": filled(&query.expression, "1m") }))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules.yml");
    // JSON is YAML too.
    std::fs::write(&file, serde_json::json!({ "groups": [{ "name": "checked", "rules": rules }] }).to_string()).unwrap();
    let output = Command::new(program("promtool")).args(["check", "rules"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn expressions_name_metrics_that_exist() {
    let (exported, recorded) = (exported(), rules("recording.yml"));
    let recorded: BTreeSet<&str> = recorded.iter().map(|rule| text(rule, "/record")).collect();
    for query in queries() {
        for selector in selectors(&query.expression) {
            let name = selector.metric.as_str();
            let known = name == "up" || recorded.contains(name) || exported.contains(name) || exported.contains(defined(name));
            assert!(known, "{:?} {}: {name} does not exist", query.owner, query.name);
        }
    }
}

#[test]
fn every_metric_is_shown_or_alerted_on() {
    let named: BTreeSet<String> = queries()
        .iter()
        .filter(|query| query.owner != Owner::Annotation)
        .flat_map(|query| selectors(&query.expression))
        .flat_map(|selector| [defined(&selector.metric).to_owned(), selector.metric])
        .collect();
    let unseen: Vec<String> = exported().into_iter().filter(|name| !named.contains(name)).collect();
    assert!(unseen.is_empty(), "no panel and no alert looks at {unseen:?}");
}

#[test]
fn every_alert_says_how_bad_what_and_where_to_read_on() {
    let runbook = page("docs/runbook.md");
    let sections: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("## Nerd")).map(|rest| format!("Nerd{rest}")).collect();
    let alerts = rules("alerts.yml");
    let names: BTreeSet<String> = alerts.iter().map(|rule| text(rule, "/alert").to_owned()).collect();
    assert_eq!(names, sections, "a section of the runbook for each alert, and an alert for each section");
    for rule in &alerts {
        let name = text(rule, "/alert");
        assert!(["critical", "warning"].contains(&text(rule, "/labels/severity")), "{name}");
        assert!(text(rule, "/annotations/summary").contains("$value"), "{name}: the summary carries no value");
        assert!(text(rule, "/annotations/description").ends_with('.'), "{name}");
        // The anchor that a heading gets where Markdown is shown.
        let address = format!("{{{{ $externalLabels.nerd_runbook_base }}}}docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(text(rule, "/annotations/runbook_url"), address, "{name}");
    }
    for section in runbook.split("\n## Nerd").skip(1) {
        for part in ["**What it means.**", "**How to look.**", "**What to do.**"] {
            assert!(section.contains(part), "the runbook's section Nerd{} lacks {part}", section.lines().next().unwrap());
        }
    }
}

/// Nobody looks for a panel at night that is not there.
#[test]
fn the_runbook_names_panels_that_exist() {
    let dashboards = dashboards();
    let titles: BTreeSet<&str> =
        dashboards.iter().flat_map(|(_, dashboard)| panels(dashboard)).map(|panel| text(panel, "/title")).collect();
    let runbook = page("docs/runbook.md").replace('\n', " ");
    let named: Vec<String> = Regex::new("“([^”]+)”").unwrap().captures_iter(&runbook).map(|found| found[1].to_owned()).collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        assert!(titles.contains(name.as_str()) || page("README.md").contains(&format!("## {name}")), "no panel “{name}”");
    }
}

/// What draws the picture is pinned to the last file, from whatever registry; the README says by what it was drawn, and by what not.
#[test]
fn the_picture_says_what_drew_it() {
    let package: Value = serde_json::from_str(&page("dashboards/picture/package.json")).unwrap();
    let locked: Value = serde_json::from_str(&page("dashboards/picture/package-lock.json")).unwrap();
    assert_eq!(package["dependencies"], locked["packages"][""]["dependencies"]);
    for (name, version) in package["dependencies"].as_object().unwrap() {
        let exact = version.as_str().unwrap().split('.').all(|part| part.parse::<u32>().is_ok());
        assert!(exact, "{name}: {version} is a range");
    }
    for (path, package) in locked["packages"].as_object().unwrap().iter().filter(|(path, _)| !path.is_empty()) {
        assert!(package["integrity"].is_string() && package["resolved"].is_null(), "{path}: no sum, or an address");
    }
    let readme = page("README.md").replace('\n', " ");
    assert!(readme.contains(&format!("(`@grafana/ui` {})", text(&package, "/dependencies/@grafana~1ui"))));
    assert!(readme.contains("No Grafana server was run"));
}

#[test]
fn every_alert_is_shown_to_fire_and_to_stay_silent() {
    let files: Vec<Value> = std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/tests"))
        .unwrap()
        .map(|entry| yaml(&format!("tests/{}", entry.unwrap().file_name().to_str().unwrap())))
        .collect();
    let tests: Vec<&Value> = files.iter().flat_map(|file| list(file, "/tests")).collect();
    let fired: BTreeSet<&str> = tests
        .iter()
        .flat_map(|test| list(test, "/alert_rule_test"))
        .filter(|case| !list(case, "/exp_alerts").is_empty())
        .map(|case| text(case, "/alertname"))
        .collect();
    let alerts = rules("alerts.yml");
    let names: BTreeSet<&str> = alerts.iter().map(|rule| text(rule, "/alert")).collect();
    assert_eq!(names, fired);
    // In the tests of a healthy life nothing at all fires, so what alerts look at must be there to be looked at.
    let healthy: Vec<&&Value> =
        tests.iter().filter(|test| test["alert_rule_test"].is_null() && test["name"].as_str().unwrap().contains("restart")).collect();
    let given: BTreeSet<String> = healthy
        .iter()
        .flat_map(|test| list(test, "/input_series"))
        .map(|series| text(series, "/series").split('{').next().unwrap().to_owned())
        .collect();
    for query in queries().iter().filter(|query| query.owner == Owner::Alert) {
        for selector in selectors(&query.expression).iter().filter(|selector| !selector.metric.contains(':')) {
            assert!(given.contains(&selector.metric), "{}: no {} in the healthy restart", query.name, selector.metric);
        }
    }
}
