//! What the README says of keys and what it shows must be so.

use nerd::settings::keys::KEYS;
use nerd::settings::{Sources, resolve};

fn read(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_readme_lists_every_key_with_its_default() {
    let readme = read("README.md");
    for key in KEYS {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let line = format!("| `{}` | {default} |", key.name);
        assert!(readme.contains(&line), "README.md lacks {line:?}");
        for alias in key.aliases {
            assert!(readme.contains(alias), "README.md lacks {alias}");
        }
    }
    let rows = readme.lines().filter(|line| line.starts_with("| `") && line.matches('.').count() > 0 && line.contains("` |")).count();
    assert!(rows >= KEYS.len(), "{rows} rows");
}

/// The file for taking over says what its comments say.
#[test]
fn the_drop_in_configuration_is_valid() {
    let sources = Sources { file: Some(("config/drop-in.toml".into(), read("config/drop-in.toml"))), ..Sources::default() };
    let (settings, _) = resolve(&sources).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(&*settings.output.rules.labels.apply(&"LOC".into()), "GPE");
    assert!(settings.output.extractor_version.contains("spacy"));
}

/// The shipped file is valid as it stands, and with every commented key brought to life.
#[test]
fn the_shipped_configuration_is_valid() {
    let text = read("config/nerd.toml");
    let alive =
        text.lines().map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line)).collect::<Vec<_>>().join("\n");
    for version in [text, alive] {
        let sources = Sources { file: Some(("config/nerd.toml".into(), version)), ..Sources::default() };
        let (_, effective) = resolve(&sources).unwrap_or_else(|error| panic!("{error}"));
        for line in effective {
            let key = KEYS.iter().find(|key| key.name == line.key).unwrap();
            assert!(
                key.secret || line.value == key.default,
                "{}: the file shows {:?}, the default is {:?}",
                line.key,
                line.value,
                key.default
            );
        }
    }
}
