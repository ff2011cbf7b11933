//! docs/metrics.md is made of the table of metrics and of what looks at them. `NERD_WRITE_DOCS=1 cargo test --test
//! metrics_reference` writes it anew.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write;

use nerd::metrics::Metrics;
use nerd::metrics::table::{self, Definition, Kind};
use support::queries::{Owner, defined, queries, selectors};

const HEAD: &str = "# Metrics

Served at `/metrics` in the text form of Prometheus; every series is there, at 0, before the model is loaded. This page is made of
the code (`src/metrics/table.rs`) and of `dashboards/`, and a test holds it to them; after a change, `NERD_WRITE_DOCS=1 cargo test
--release --test metrics_reference` writes it anew.

Units are in the names: seconds, bytes, Unix time for timestamps. No label holds an article, a source or an address. Gauges of the
queue and of the ledger (`nerd_backlog_*`, `nerd_model_loads_24h`, `nerd_process_starts_24h`) are the database's: every process
reports the same, so take their `max`, never their `sum`.
";

struct Row {
    name: String,
    kind: String,
    labels: String,
    help: String,
}

fn row(definition: &Definition) -> Row {
    let kind = match definition.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let labels = definition.labels.iter().map(|label| match label.values {
        [] => format!("`{}`: set at start", label.name),
        _ if label.name == "version" => "`version`: nerd's own".to_owned(),
        values => format!("`{}`: {}", label.name, values.join(", ")),
    });
    Row {
        name: definition.name.to_owned(),
        kind: kind.to_owned(),
        labels: labels.collect::<Vec<_>>().join("; "),
        help: definition.help.to_owned(),
    }
}

/// The standard ones, as the library that exports them describes them.
fn standard() -> Vec<Row> {
    let text = Metrics::new().render();
    let field = |kind: &str, name: &str| {
        let start = format!("# {kind} {name} ");
        text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
    };
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE process_")?.split(' ').next()).collect();
    names.sort_unstable();
    assert!(names.len() >= 8, "{names:?}");
    names
        .into_iter()
        .map(|name| format!("process_{name}"))
        .map(|name| Row { kind: field("TYPE", &name), labels: String::new(), help: field("HELP", &name), name })
        .collect()
}

/// Alerts and panels whose expression names the metric, or a series recorded from it.
fn seen_in(metric: &str) -> String {
    let queries = queries();
    let named = |expression: &str| selectors(expression).into_iter().map(|selector| selector.metric).collect::<Vec<_>>();
    let recorded: BTreeSet<String> = queries
        .iter()
        .filter(|query| {
            query.owner == Owner::Record && named(&query.expression).iter().any(|name| defined(name) == metric || name == metric)
        })
        .map(|query| query.name.clone())
        .collect();
    let of = |owner: Owner| {
        let mut places: Vec<&str> = queries
            .iter()
            .filter(|query| query.owner == owner)
            .filter(|query| {
                named(&query.expression).iter().any(|name| name == metric || defined(name) == metric || recorded.contains(name))
            })
            .map(|query| query.name.as_str())
            .collect();
        places.dedup();
        places
    };
    let alerts = of(Owner::Alert).into_iter().map(|name| format!("[{name}](runbook.md#{})", name.to_lowercase()));
    let panels = of(Owner::Panel).into_iter().map(|name| format!("“{name}”"));
    alerts.chain(panels).collect::<Vec<_>>().join(", ")
}

fn table_of(rows: &[Row]) -> String {
    let mut text = "| metric | kind | labels | meaning | seen in |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for row in rows {
        let seen = seen_in(&row.name);
        writeln!(text, "| `{}` | {} | {} | {} | {seen} |", row.name, row.kind, row.labels, row.help).unwrap();
    }
    text
}

fn page() -> String {
    let own: Vec<Row> = table::ALL.iter().map(row).collect();
    let mut text = format!("{HEAD}\n## nerd's own\n\n{}\n## The process\n\n{}\n## Buckets\n\n", table_of(&own), table_of(&standard()));
    for definition in table::ALL {
        if let Kind::Histogram(bounds) = definition.kind {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            writeln!(text, "- `{}`: {}", definition.name, bounds.join(", ")).unwrap();
        }
    }
    text
}

#[test]
fn the_reference_is_what_the_code_says() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let made = page();
    if std::env::var_os("NERD_WRITE_DOCS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == made, "docs/metrics.md is not what the code says: NERD_WRITE_DOCS=1 cargo test --release --test metrics_reference");
}

#[test]
fn every_metric_is_in_the_reference_with_its_meaning() {
    let page = page();
    for definition in table::ALL {
        assert!(page.contains(&format!("| `{}` |", definition.name)) && page.contains(definition.help), "{}", definition.name);
    }
}
