//! What the README says of keys and what it shows must be so.

use nerd::settings::keys::KEYS;
use nerd::settings::{Sources, resolve};

fn read(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What the README picks out is there.
#[test]
fn the_readme_names_keys_that_exist() {
    let readme = read("README.md");
    let table = readme.split("Those that\nmost houses touch:").nth(1).expect("a table of keys").split("\n## ").next().unwrap();
    let named: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(named.len() > 5, "{table}");
    for name in named {
        assert!(KEYS.iter().any(|key| key.name == name), "{name} is no key");
    }
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
