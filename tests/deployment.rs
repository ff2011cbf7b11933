//! What the files in deploy/ promise: manifests, the unit, the role. Schemas of Kubernetes are not at hand here; what is tested is
//! what a schema would not see.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use nerd::settings::keys::KEYS;
use serde_json::Value;
use support::articles::samples;
use support::database::{Database, cluster};
use support::process::{binary, nerd};
use support::queries::{list, text, yaml};
use uuid::Uuid;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path.as_ref())).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// Every document of every manifest, with its file.
fn manifests() -> Vec<(PathBuf, Value)> {
    let mut all = Vec::new();
    for entry in walkdir::WalkDir::new(root().join("deploy/kubernetes")) {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(&read(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            all.extend(documents.into_iter().map(|document| (path.clone(), document)));
        }
    }
    assert!(all.len() > 8);
    all
}

/// The pods that manifests describe.
fn pods() -> Vec<Value> {
    let places = ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
    let pods: Vec<Value> =
        manifests().iter().flat_map(|(_, document)| places.iter().filter_map(|place| document.pointer(place).cloned())).collect();
    assert_eq!(pods.len(), 3, "the daemon, the job of every hour, the backfill");
    pods
}

fn seconds(key: &str) -> u64 {
    let default = KEYS.iter().find(|known| known.name == key).unwrap().default;
    humantime::parse_duration(default).unwrap().as_secs()
}

#[test]
fn every_manifest_is_applied_by_somebody() {
    let mut named = BTreeSet::new();
    for (path, document) in manifests() {
        if document["kind"] == "Kustomization" {
            for resource in list(&document, "/resources") {
                let target = path.parent().unwrap().join(resource.as_str().unwrap());
                named.insert(target.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", target.display())));
            }
        }
    }
    for (path, document) in manifests() {
        let by_hand = document["metadata"]["generateName"].is_string();
        let kustomization = document["kind"] == "Kustomization";
        assert!(kustomization || by_hand || named.contains(&path.canonicalize().unwrap()), "{} is not applied", path.display());
    }
}

/// The operator gets the very rules of dashboards/.
#[test]
fn the_rules_reach_the_operator_unchanged() {
    let output = Command::new(root().join("deploy/kubernetes/rules.sh")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
    let specs: Vec<&Value> =
        documents.iter().filter(|document| document["kind"] == "PrometheusRule").map(|document| &document["spec"]).collect();
    assert_eq!(specs, [&yaml("recording.yml"), &yaml("alerts.yml")]);
}

#[test]
fn pods_have_no_rights_and_a_limit_of_memory() {
    let dockerfile = read("Dockerfile");
    for pod in pods() {
        let security = &pod["securityContext"];
        assert_eq!((security["runAsNonRoot"].as_bool(), text(security, "/seccompProfile/type")), (Some(true), "RuntimeDefault"));
        assert!(dockerfile.contains(&format!("USER {}", security["runAsUser"])), "the image's own user");
        assert_eq!(pod["automountServiceAccountToken"], false);
        for container in list(&pod, "/containers") {
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
            assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
            let resources = &container["resources"];
            assert!(resources["limits"]["memory"].is_string() && resources["limits"]["memory"] == resources["requests"]["memory"]);
            let cores = resources["requests"]["cpu"].as_str().unwrap();
            let workers = list(container, "/env").into_iter().find(|variable| variable["name"] == "NERD_ENGINE_WORKERS").unwrap();
            assert_eq!(text(workers, "/value"), cores, "a worker for each core");
        }
    }
}

#[test]
fn pods_call_commands_and_keys_that_exist() {
    for pod in pods() {
        for container in list(&pod, "/containers") {
            let arguments = list(container, "/args").into_iter().map(|argument| argument.as_str().unwrap());
            // Help is given once everything before it was understood.
            let output = binary().args(arguments).arg("--help").output().unwrap();
            assert!(output.status.success(), "{}: {}", container["args"], String::from_utf8_lossy(&output.stderr));
            for variable in list(container, "/env") {
                let name = text(variable, "/name");
                let known = KEYS.iter().any(|key| {
                    key.aliases.contains(&name) || name.strip_prefix("NERD_") == Some(&key.name.replace('.', "_").to_uppercase())
                });
                assert!(known, "{name}");
            }
        }
    }
}

#[test]
fn probes_restart_for_frozen_actors_only() {
    let pods = pods();
    let daemon = pods.iter().map(|pod| &pod["containers"][0]).find(|container| container["args"][0] == "run").unwrap();
    for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(daemon[probe]["httpGet"]["path"], path, "{probe}");
    }
    let unit = read("deploy/systemd/nerd.service");
    assert!(unit.contains("Type=notify\n") && unit.contains("RestartPreventExitStatus=2\n"));
}

#[test]
fn there_is_time_to_drain_before_the_kill() {
    let drain = seconds("shutdown.drain_timeout");
    for pod in pods() {
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > drain + 5);
    }
    let unit = read("deploy/systemd/nerd.service");
    let given: u64 = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap().parse().unwrap();
    assert!(given > drain + 5);
    let compose: Value = serde_saphyr::from_str(&read("compose.yaml")).unwrap();
    let grace = humantime::parse_duration(text(&compose, "/services/nerd/stop_grace_period")).unwrap().as_secs();
    assert!(grace > drain + 5);
}

#[test]
fn compose_mounts_what_is_there() {
    let compose: Value = serde_saphyr::from_str(&read("compose.yaml")).unwrap();
    let volumes = compose["volumes"].as_object().unwrap();
    for (name, service) in compose["services"].as_object().unwrap() {
        for mount in list(service, "/volumes") {
            let source = mount.as_str().unwrap().split(':').next().unwrap();
            assert!(volumes.contains_key(source) || root().join(source).exists(), "{name}: {source}");
        }
        for port in list(service, "/ports") {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name} is reachable from outside");
        }
    }
    for provisioned in ["datasources/prometheus.yml", "dashboards/nerd.yml"] {
        let file: Value = serde_saphyr::from_str(&read(Path::new("config/grafana/provisioning").join(provisioned))).unwrap();
        assert_eq!(file["apiVersion"], 1);
    }
}

#[tokio::test]
async fn the_role_with_the_least_rights_suffices() {
    let database = Database::migrated(true).await;
    for (name, text) in samples().into_iter().take(6) {
        database.article(&name, &text).await;
    }
    let role = format!("daemon_{}", Uuid::new_v4().simple());
    let grants = read("deploy/database/role.sql").replace(":\"role\"", &role).replace(":\"host_schema\"", "public");
    database.client.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'; {grants}")).await.unwrap();
    let owner = cluster().split("//").nth(1).unwrap().split('@').next().unwrap();
    let url = database.url.replace(owner, &format!("{role}:x"));
    let output = nerd(&url, &["extract"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(database.count("nerd.jobs").await, 0);
    assert!(database.count("article_entities").await > 6);
    assert!(database.count("nerd.model_loads").await > 0);
    for (arguments, code) in [
        (&["status", "--json"][..], 0),
        (&["prove-loads"], 0),
        (&["quarantine", "--json"], 0),
        (&["retry", "--all"], 0),
        (&["check"], 0),
        (&["pause"], 0),
        (&["pause", "--reason", "again"], 0),
        (&["resume"], 0),
    ] {
        let output = nerd(&url, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let client = support::database::connect(&url).await;
    for forbidden in ["UPDATE articles SET status = 'x'", "DELETE FROM nerd.model_loads", "CREATE TABLE nerd.other (x int)"] {
        let error = client.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE), "{forbidden}");
    }
    database.client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

/// The scaler's question is one integer, from the head of an index.
#[tokio::test]
async fn the_scaler_asks_for_one_integer() {
    let database = Database::migrated(true).await;
    for (name, text) in samples().into_iter().take(3) {
        database.article(&name, &text).await;
    }
    let manifests = manifests();
    let (_, scaler) = manifests.iter().find(|(_, document)| document["kind"] == "ScaledObject").unwrap();
    let query = text(scaler, "/spec/triggers/0/metadata/query");
    let rows = database.client.query(query, &[]).await.unwrap();
    assert_eq!((rows.len(), rows[0].get::<_, i64>(0)), (1, 3));
}
