//! What the daemon is made of, without a tool or the network: licences, sources, duplicates and pins, by the list that cargo-deny
//! reads too (`deploy/supply-chain/deny.toml`, `make supply-chain`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};
use spdx::{Expression, ParseMode};

/// Holds nothing but the next version under its old name: cargo-deny counts it as none.
const RENAMED: &str = "webpki-roots@0.26.11";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn table(path: &str) -> toml::Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn texts<'a>(list: &'a toml::Value, key: Option<&str>) -> BTreeSet<&'a str> {
    let list = list.as_array().expect("a list");
    let found: BTreeSet<&str> = list.iter().filter_map(|item| key.map_or(Some(item), |key| item.get(key))?.as_str()).collect();
    assert!(found.len() == list.len(), "{list:?} has something else or the same twice");
    found
}

/// A crate that this machine builds the daemon, its tests or its benchmarks of.
struct Package {
    name: String,
    version: String,
    licence: String,
}

/// By cargo's own account.
fn packages() -> Vec<Package> {
    let tree = ["tree", "--locked", "--offline", "--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"];
    let output = Command::new(env!("CARGO")).current_dir(env!("CARGO_MANIFEST_DIR")).args(tree).output().unwrap();
    assert!(output.status.success(), "cargo {tree:?}: {}", String::from_utf8_lossy(&output.stderr));
    let lines: BTreeSet<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    let packages: Vec<Package> = lines
        .iter()
        .map(|line| {
            let (package, licence) = line.split_once('|').unwrap_or_else(|| panic!("{line:?} names no licence"));
            let mut words = package.split(' ');
            let (name, version) = (words.next().unwrap(), words.next().unwrap_or_else(|| panic!("{line:?} names no version")));
            Package { name: name.to_owned(), version: version.trim_start_matches('v').to_owned(), licence: licence.to_owned() }
        })
        .collect();
    assert!(packages.len() > 200, "only {} crates", packages.len());
    packages
}

#[test]
fn every_licence_is_allowed() {
    let list = table("deploy/supply-chain/deny.toml");
    let allowed = texts(&list["licenses"]["allow"], None);
    let mut needed = BTreeSet::new();
    for Package { name, licence, .. } in packages() {
        let expression = Expression::parse_mode(&licence, ParseMode::LAX).unwrap_or_else(|error| panic!("{name}: {error}"));
        let is_allowed = expression.evaluate(|requirement| {
            let allowed = allowed.get(&*requirement.to_string()).copied();
            needed.extend(allowed);
            allowed.is_some()
        });
        assert!(is_allowed, "{name} is under {licence}: not on the list in deploy/supply-chain/deny.toml");
    }
    assert_eq!(needed, allowed, "the list allows what nothing needs");
}

/// Name, version and source of every crate of the lock file, whatever machine needs it.
fn locked() -> Vec<(String, String, Option<String>)> {
    let lock = table("Cargo.lock");
    let text = |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let packages = lock["package"].as_array().unwrap();
    for package in packages {
        let own = package.get("source").is_none();
        assert!(own || text(package, "checksum").is_some_and(|sum| sum.len() == 64), "{package} has no checksum");
    }
    packages.iter().map(|package| (text(package, "name").unwrap(), text(package, "version").unwrap(), text(package, "source"))).collect()
}

#[test]
fn every_crate_comes_from_the_public_registry() {
    let list = table("deploy/supply-chain/deny.toml");
    let allowed = texts(&list["sources"]["allow-registry"], None);
    for (name, version, source) in locked() {
        match source {
            None => assert_eq!(name, "nerd", "{name} {version} is neither ours nor a registry's"),
            Some(source) => {
                assert!(
                    source.strip_prefix("registry+").is_some_and(|registry| allowed.contains(registry)),
                    "{name} {version} is from {source}"
                );
            }
        }
    }
}

#[test]
fn a_crate_is_here_once_unless_it_is_listed() {
    let list = table("deploy/supply-chain/deny.toml");
    let skipped = texts(&list["bans"]["skip"], Some("crate"));
    assert_eq!(texts_with_reasons(&list["bans"]["skip"]), skipped.len(), "each has its reason");
    let here: BTreeSet<(String, String)> = packages().into_iter().map(|package| (package.name, package.version)).collect();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, version) in &here {
        versions.entry(name).or_default().push(version);
    }
    let mut found = BTreeSet::new();
    for (name, versions) in versions.into_iter().filter(|(_, versions)| versions.len() > 1) {
        let (old, new): (Vec<String>, Vec<String>) = versions
            .iter()
            .map(|version| format!("{name}@{version}"))
            .filter(|one| one != RENAMED)
            .partition(|one| skipped.contains(one.as_str()));
        assert!(
            new.len() == 1,
            "{new:?} are here beside each other: list the older ones in deploy/supply-chain/deny.toml, with the reason"
        );
        found.extend(old);
    }
    let gone: Vec<&&str> = skipped.iter().filter(|one| !found.contains(**one)).collect();
    assert!(gone.is_empty(), "{gone:?} are listed and no duplicates any more");
}

fn texts_with_reasons(list: &toml::Value) -> usize {
    list.as_array()
        .unwrap()
        .iter()
        .filter(|item| item.get("reason").and_then(toml::Value::as_str).is_some_and(|reason| reason.len() > 2))
        .count()
}

/// The document of `make sbom` beyond the crates, which cargo-cyclonedx tells: every wheel with the sum that set-up holds it against,
/// every bundled model with its files' sums, all under the daemon itself; nothing of where it was built.
#[test]
fn the_bill_of_materials_names_what_cargo_does_not_know() {
    let directory = tempfile::tempdir().unwrap();
    let crates = directory.path().join("crates.json");
    let root = format!("path+file://{}#nerd@0.1.0", env!("CARGO_MANIFEST_DIR"));
    let document = serde_json::json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "metadata": { "component": { "bom-ref": root } },
        "components": [{ "bom-ref": "serde" }], "dependencies": [{ "ref": root, "dependsOn": ["serde"] }],
    });
    std::fs::write(&crates, document.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/supply-chain/sbom.py");
    let output = Command::new(script).arg("--crates").arg(&crates).arg("-").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains(env!("CARGO_MANIFEST_DIR")));

    let components = written["components"].as_array().unwrap();
    let under = written["dependencies"][0]["dependsOn"].as_array().unwrap();
    assert_eq!((written["dependencies"][0]["ref"].as_str(), under.len()), (Some("nerd@0.1.0"), components.len()));
    assert!(components.iter().all(|component| under.contains(&component["bom-ref"])));

    let torch = components.iter().find(|component| component["name"] == "torch").expect("libtorch's wheel");
    let sum = torch["hashes"][0]["content"].as_str().unwrap();
    assert!(torch["version"] == "2.4.0" && read("deploy/setup/libtorch.sh").contains(&format!("{sum}  torch-2.4.0-")));
    for name in ["news-ner", "news-ner-fast"] {
        let model = components.iter().find(|component| component["name"] == name).unwrap_or_else(|| panic!("{name} is not named"));
        for file in model["components"].as_array().unwrap() {
            let path = file["name"].as_str().unwrap();
            let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
            let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(file["hashes"][0]["content"], sum, "{path}");
        }
    }
}

/// A line a dependency, with a whole version and the reason why it is there.
#[test]
fn every_dependency_is_pinned_and_justified() {
    for file in ["Cargo.toml", "tests/fuzz/Cargo.toml"] {
        let text = read(file);
        let (mut inside, mut seen) = (false, 0);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if line.starts_with('[') {
                inside = line.contains("dependencies");
                assert!(!line.contains("dependencies."), "{file}: {line}: one line a dependency");
                continue;
            }
            if !inside || line.starts_with('#') {
                continue;
            }
            let (dependency, reason) = line.split_once(" # ").unwrap_or_else(|| panic!("{file}: no reason for {line}"));
            assert!(reason.trim().len() > 5, "{file}: the reason for {line}");
            let one: toml::Table = dependency.parse().unwrap_or_else(|error| panic!("{file}: {line}: {error}"));
            let (name, value) = one.iter().next().unwrap();
            seen += 1;
            if file != "Cargo.toml" && name == "nerd" {
                continue;
            }
            assert!(["git", "path", "registry"].iter().all(|key| value.get(key).is_none()), "{file}: {name} is not the public registry's");
            let version =
                value.as_str().or_else(|| value.get("version")?.as_str()).unwrap_or_else(|| panic!("{file}: {name} has no version"));
            let numbers: Vec<&str> = version.trim_start_matches('=').split('.').collect();
            assert!(
                numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok()),
                "{file}: {name} {version} is no whole version"
            );
        }
        assert!(seen > 3, "{file}: only {seen} dependencies");
    }
}
