//! Reads plans: what EXPLAIN (ANALYZE, FORMAT JSON) says of a statement as the store prepares it, and what in it would grow
//! with the tables.

use nerd::store::postgres::statements::PLANNER;
use serde_json::Value;
use tokio_postgres::Client;

/// The plan of a statement that is run with these arguments (SQL literals), as the store's sessions make it; the run is rolled back.
pub async fn explain(client: &Client, statement: &str, arguments: &[&str]) -> Value {
    client.batch_execute("BEGIN").await.unwrap();
    for (name, value) in PLANNER {
        client.batch_execute(&format!("SET LOCAL {name} = {value}")).await.unwrap();
    }
    client.batch_execute(&format!("PREPARE looked_at AS {statement}")).await.unwrap();
    let given = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
    let sql = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE looked_at {given}");
    let messages = client.simple_query(&sql).await.unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
    client.batch_execute("ROLLBACK; DEALLOCATE looked_at").await.unwrap();
    let text: String = messages
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

/// Every node, the top first.
pub fn nodes(explained: &Value) -> Vec<&Value> {
    let (mut found, mut waiting) = (Vec::new(), vec![&explained["Plan"]]);
    while let Some(node) = waiting.pop() {
        found.push(node);
        waiting.extend(node["Plans"].as_array().into_iter().flatten());
    }
    found
}

/// What grows with the tables: a table read from end to end, more than `most_rows` sorted, or that many rows thrown away by a
/// filter. Empty: the cost is that of the rows asked for.
pub fn complaints(explained: &Value, most_rows: f64) -> Vec<String> {
    let mut complaints = Vec::new();
    for node in nodes(explained) {
        let kind = node["Node Type"].as_str().unwrap_or_default();
        let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
        let place = node["Relation Name"].as_str().or(node["Index Name"].as_str()).unwrap_or("rows");
        // A sort within equal keys stops where the rows asked for are found, whatever was expected.
        let expected = if kind == "Incremental Sort" { 0.0 } else { number("Plan Rows") };
        let rows = number("Actual Rows").max(expected);
        if kind == "Seq Scan" {
            complaints.push(format!("{kind} on {place}"));
        }
        if kind.contains("Sort") && rows > most_rows {
            complaints.push(format!("{kind} of {rows} rows"));
        }
        if number("Rows Removed by Filter") > most_rows {
            complaints.push(format!("{kind} on {place} throws {} rows away", number("Rows Removed by Filter")));
        }
    }
    complaints
}

/// Pages touched by a node and those below it, cached or not.
pub fn pages(node: &Value) -> u64 {
    let number = |name: &str| node[name].as_u64().unwrap_or(0);
    number("Shared Hit Blocks") + number("Shared Read Blocks")
}

/// Pages touched in looking for rows, not in writing them: whether a new version of a row finds room beside the old one is chance.
pub fn pages_read(explained: &Value) -> u64 {
    let looks = |node: &&Value| node["Relation Name"].is_string() && node["Node Type"].as_str().is_some_and(|kind| kind.ends_with("Scan"));
    let own = |node: &Value| pages(node).saturating_sub(node["Plans"].as_array().into_iter().flatten().map(pages).sum());
    nodes(explained).into_iter().filter(looks).map(own).sum()
}
