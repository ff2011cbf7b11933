//! `docs/configuration.md` is made of the table of keys, and must be what the code says.

use std::fmt::Write;

use nerd::settings::keys::{KEYS, Key};

const HEAD: &str = "# Configuration

Every key, made from the code (`NERD_WRITE_DOCS=1 cargo test --release --test configuration_reference` writes this page anew).

Flag over environment over file over default. The file is `config/nerd.toml`, or what `--config FILE` or `NERD_CONFIG` names; in
it a key stands in its section (`[database]`, then `pool_size = 4`). Any key: `--set section.key=value`, or its variable in the
environment. Unknown keys are errors, and all errors are listed at once. `nerd check` shows what is in force and where it came
from; secrets are never shown.

Durations: `500ms`, `30s`, `5m`, `2h`; a bare number is seconds. Sizes: `64KB`, `16MB`, `1GiB`; a bare number is bytes.
";

/// Flags with a name of their own, besides `--set`.
fn flag(key: &str) -> Option<&'static str> {
    Some(match key {
        "database.url" => "--database-url",
        "model.profile" => "--profile",
        "model.path" => "--model",
        "engine.workers" => "--workers",
        "engine.device" => "--device",
        "engine.precision" => "--precision",
        "output.compat" => "--compat",
        "log.level" => "--log-level",
        _ => return None,
    })
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn row(key: &Key) -> String {
    let default = if key.default.is_empty() { String::new() } else { format!("`{}`", cell(key.default)) };
    let variables: Vec<String> = std::iter::once(key.variable())
        .chain(key.aliases.iter().map(|alias| (*alias).to_owned()))
        .map(|name| format!("`{name}`"))
        .collect();
    let flag = flag(key.name).map_or_else(String::new, |flag| format!("`{flag}`"));
    let kind = key.shape.name().trim_start_matches("a ");
    format!("| `{}` | {kind} | {default} | {} | {} | {flag} |", key.name, cell(key.help), variables.join(", "))
}

fn page() -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for key in KEYS {
        let (own, _) = key.name.split_once('.').expect("a key has a section");
        if own != section {
            section = own;
            write!(
                text,
                "\n## {section}\n\n| key | kind | default | meaning | environment | flag |\n| --- | --- | --- | --- | --- | --- |\n"
            )
            .unwrap();
        }
        writeln!(text, "{}", row(key)).unwrap();
    }
    text
}

#[test]
fn the_reference_is_what_the_code_says() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let made = page();
    if std::env::var_os("NERD_WRITE_DOCS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == made,
        "docs/configuration.md is not what the code says: NERD_WRITE_DOCS=1 cargo test --release --test configuration_reference"
    );
}

#[test]
fn sections_stand_together_and_every_flag_is_one() {
    let mut sections: Vec<&str> = KEYS.iter().map(|key| key.name.split('.').next().unwrap()).collect();
    sections.dedup();
    let mut once = sections.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), sections.len(), "a section is in two places: {sections:?}");
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_nerd")).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in KEYS.iter().filter_map(|key| flag(key.name)) {
        assert!(help.contains(flag), "{flag} is no flag of `nerd run`");
    }
}

#[test]
fn no_key_is_without_a_meaning() {
    for key in KEYS {
        assert!(key.help.len() > 15 && !key.help.ends_with('.'), "{}: {:?}", key.name, key.help);
    }
}
