//! The states of a job: the schema refuses every row that the architecture page does not draw, and the page draws what the schema
//! allows.

mod support;

use std::collections::BTreeSet;

use support::database::Database;

/// What says which state a row is in: its name, whether it has a token, whether it has a time of quarantine.
type Form = (String, bool, bool);

fn page() -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md")).unwrap()
}

/// The rows of the page's table `| state | token | quarantined_at |`.
fn drawn() -> BTreeSet<Form> {
    let page = page();
    let table = page.lines().skip_while(|line| !line.starts_with("| state | `token` | `quarantined_at` |")).skip(2);
    table
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`').to_owned(), cells[2] == "set", cells[3] == "set")
        })
        .collect()
}

/// The states between the arrows of the page's diagram.
fn arrows() -> BTreeSet<String> {
    let page = page();
    let diagram = page.split("stateDiagram-v2").nth(1).expect("a diagram").split("```").next().unwrap().to_owned();
    diagram
        .lines()
        .filter_map(|line| line.split_once("-->"))
        .flat_map(|(from, to)| [from.trim().to_owned(), to.split(':').next().unwrap().trim().to_owned()])
        .filter(|state| state != "[*]")
        .collect()
}

#[tokio::test]
async fn only_what_is_drawn_can_be_written() {
    let database = Database::migrated(true).await;
    let (drawn, mut allowed) = (drawn(), BTreeSet::new());
    for state in ["pending", "leased", "quarantined", "done", "PENDING", ""] {
        for (token, quarantined) in [(false, false), (false, true), (true, false), (true, true)] {
            let sql = "INSERT INTO nerd.jobs (article_id, source, state, token, quarantined_at)
                VALUES ('x', 's', $1, CASE WHEN $2 THEN gen_random_uuid() END, CASE WHEN $3 THEN now() END)";
            match database.client.execute(sql, &[&state, &token, &quarantined]).await {
                Ok(_) => {
                    allowed.insert((state.to_owned(), token, quarantined));
                    database.client.batch_execute("DELETE FROM nerd.jobs").await.unwrap();
                }
                Err(error) => assert_eq!(error.code().unwrap().code(), "23514", "refused by a CHECK: {error:?}"),
            }
        }
    }
    assert_eq!(allowed, drawn);
    let names: BTreeSet<String> = drawn.into_iter().map(|(state, ..)| state).collect();
    assert_eq!(arrows(), names);
}

#[tokio::test]
async fn no_update_leads_out_of_them_either() {
    let database = Database::migrated(true).await;
    database.article("a", "Ann Lee").await;
    for change in [
        "state = 'leased'",
        "state = 'quarantined'",
        "state = 'done'",
        "token = gen_random_uuid()",
        "quarantined_at = now()",
        "state = 'leased', token = gen_random_uuid(), quarantined_at = now()",
    ] {
        let error = database.client.batch_execute(&format!("UPDATE nerd.jobs SET {change}")).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "23514", "{change}: {error:?}");
    }
    for pause in ["('s', '', 'x')", "('s', 'why', '')", "(repeat('s', 1001), NULL, 'x')", "('s', repeat('y', 1001), 'x')"] {
        let error =
            database.client.batch_execute(&format!("INSERT INTO nerd.pauses (scope, reason, said_by) VALUES {pause}")).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "23514", "{pause}: {error:?}");
    }
    for (table, change) in [("model_loads", "reason = 'boredom'"), ("discovery", "walk = 'sideways'")] {
        let sql = format!(
            "INSERT INTO nerd.model_loads (boot_id, host, command, worker, pool_size, model, sha256, reason, seconds, rss_before_bytes, rss_after_bytes)
             VALUES (gen_random_uuid(), 'h', 'run', 0, 1, 'm', '', 'startup', 1, 1, 1); UPDATE nerd.{table} SET {change}"
        );
        let error = database.client.batch_execute(&sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "23514", "{change}: {error:?}");
    }
}
