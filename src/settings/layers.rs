//! Lays flag over environment over file over default, and collects every error on the way.

use std::fmt;
use std::path::PathBuf;

use super::keys::{KEYS, Key, Shape};
use super::{Settings, SettingsError};

/// What the process was given, read by the caller: nothing here touches the environment or the disk.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Path and content of the configuration file.
    pub file: Option<(PathBuf, String)>,
    pub environment: Vec<(String, String)>,
    /// Key and value; the flag's own spelling is in the message by its key.
    pub flags: Vec<(String, String)>,
}

/// Where an effective value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::Flag => formatter.write_str("command line"),
        }
    }
}

/// One line of `nerd check`: a key, its value as text (secrets hidden) and its origin.
#[derive(Clone, Debug)]
pub struct Effective {
    pub key: &'static str,
    pub value: String,
    pub origin: Origin,
}

/// Variables that begin with `NERD_` and are no configuration key: the file's own name.
const OTHER_VARIABLES: &[&str] = &["NERD_CONFIG"];

/// The effective settings with the origin of each, or every error there is.
pub fn resolve(sources: &Sources) -> Result<(Settings, Vec<Effective>), SettingsError> {
    let mut errors = Vec::new();
    let mut given: Vec<(&'static Key, String, Origin)> = Vec::new();
    read_file(sources, &mut given, &mut errors);
    read_environment(sources, &mut given, &mut errors);
    for (name, value) in &sources.flags {
        match find(name) {
            Some(key) => given.push((key, value.clone(), Origin::Flag)),
            None => errors.push(format!("command line: {name}: unknown key{}", suggestion(name, KEYS.iter().map(|k| k.name.to_owned())))),
        }
    }
    let mut settings = Settings::default();
    let mut effective = Vec::new();
    for key in KEYS {
        let (value, origin) = given
            .iter()
            .rev()
            .find(|(k, ..)| k.name == key.name)
            .map_or_else(|| (key.default.to_owned(), Origin::Default), |(_, value, origin)| (value.clone(), origin.clone()));
        if let Err(error) = (key.set)(&mut settings, &value) {
            errors.push(format!("{origin}: {}: {}", key.name, if key.secret { "not valid".to_owned() } else { error }));
        }
        let shown = match (key.secret, value.is_empty()) {
            (true, true) => "(none)".to_owned(),
            (true, false) => "(hidden)".to_owned(),
            (false, _) => value,
        };
        effective.push(Effective { key: key.name, value: shown, origin });
    }
    // The longest pause follows the shortest where nobody set it: the step that nerd replaces is deployed with POLL_INTERVAL alone.
    if !given.iter().any(|(key, ..)| key.name == "claim.idle_poll_interval") {
        settings.claim.idle_poll_interval = settings.claim.idle_poll_interval.max(settings.claim.poll_interval);
    }
    if errors.is_empty() {
        across_keys(&settings, &mut errors);
    }
    if errors.is_empty() { Ok((settings, effective)) } else { Err(SettingsError(errors)) }
}

fn across_keys(settings: &Settings, errors: &mut Vec<String>) {
    if settings.claim.idle_poll_interval < settings.claim.poll_interval {
        errors.push("claim.idle_poll_interval: shorter than claim.poll_interval".to_owned());
    }
    if settings.retry.max_delay < settings.retry.base_delay {
        errors.push("retry.max_delay: shorter than retry.base_delay".to_owned());
    }
    if settings.supervision.backoff_max < settings.supervision.backoff_base {
        errors.push("supervision.backoff_max: shorter than supervision.backoff_base".to_owned());
    }
    let rules = &settings.output.rules;
    for (from, to) in rules.labels.pairs() {
        if rules.categories.of(from, "").is_some() && rules.categories.of(to, "").is_none() {
            errors.push(format!("labels.map: {to} has no category in output.categories, so no row would be kept of what is {from} now"));
        }
    }
}

fn read_file(sources: &Sources, given: &mut Vec<(&'static Key, String, Origin)>, errors: &mut Vec<String>) {
    let Some((path, text)) = &sources.file else { return };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            errors.push(format!("{}: not TOML{}: {}", path.display(), place(&error, text), error.message()));
            return;
        }
    };
    for (section, content) in &table {
        let toml::Value::Table(content) = content else {
            errors.push(format!("{}: {section}: a key outside a [section]", path.display()));
            continue;
        };
        for (name, value) in content {
            let name = format!("{section}.{name}");
            let Some(key) = find(&name) else {
                let hint = suggestion(&name, KEYS.iter().map(|k| k.name.to_owned()));
                errors.push(format!("{}: {name}: unknown key{hint}", path.display()));
                continue;
            };
            match text_of(key, value) {
                Some(text) => given.push((key, text, Origin::File(path.clone()))),
                None => {
                    errors.push(format!("{}: {name}: wrong type: {} where {} belongs", path.display(), value.type_str(), key.shape.name()));
                }
            }
        }
    }
}

/// By line and column; the line itself is not shown: it may hold the password.
fn place(error: &toml::de::Error, text: &str) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return String::new() };
    let (line, start) = (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |end| end + 1));
    format!(" at line {line}, column {}", before[start..].chars().count() + 1)
}

fn text_of(key: &Key, value: &toml::Value) -> Option<String> {
    match (key.shape, value) {
        (Shape::Text | Shape::Duration | Shape::Size, toml::Value::String(text)) => Some(text.clone()),
        (Shape::Number | Shape::Duration | Shape::Size, toml::Value::Integer(number)) => Some(number.to_string()),
        (Shape::Switch, toml::Value::Boolean(on)) => Some(on.to_string()),
        (Shape::Duration, toml::Value::Float(number)) => Some(number.to_string()),
        _ => None,
    }
}

/// The aliases first, so that a `NERD_` variable beside one wins; an alias that is set and empty counts as not set.
fn read_environment(sources: &Sources, given: &mut Vec<(&'static Key, String, Origin)>, errors: &mut Vec<String>) {
    for key in KEYS {
        for alias in key.aliases.iter().rev() {
            if let Some((name, value)) = sources.environment.iter().find(|(name, value)| name == alias && !value.is_empty()) {
                given.push((key, value.clone(), Origin::Environment(name.clone())));
            }
        }
    }
    for (name, value) in sources.environment.iter().filter(|(name, _)| name.starts_with("NERD_")) {
        if OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        match KEYS.iter().find(|key| key.variable() == *name) {
            Some(key) => given.push((key, value.clone(), Origin::Environment(name.clone()))),
            None => errors.push(format!("environment: {name}: unknown variable{}", suggestion(name, KEYS.iter().map(Key::variable)))),
        }
    }
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

fn suggestion(name: &str, known: impl Iterator<Item = String>) -> String {
    known
        .map(|candidate| (strsim::jaro_winkler(name, &candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, candidate)| format!(" (did you mean {candidate}?)"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sources(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
        let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Sources { file: Some(("nerd.toml".into(), file.to_owned())), environment: own(environment), flags: own(flags) }
    }

    #[test]
    fn flag_over_environment_over_file_over_default() {
        let file = "[claim]\nbatch_articles = 10\npoll_interval = 3\n[engine]\nworkers = 3\n[log]\nlevel = \"warn\"\n";
        let environment = [("NERD_CLAIM_BATCH_ARTICLES", "20"), ("NERD_ENGINE_WORKERS", "4")];
        let (settings, effective) = resolve(&sources(file, &environment, &[("engine.workers", "5")])).unwrap();
        assert_eq!((settings.claim.batch_articles, settings.engine.workers, settings.log.level.as_str()), (20, 5, "warn"));
        assert_eq!(settings.claim.poll_interval, Duration::from_secs(3));
        let origin = |key: &str| effective.iter().find(|e| e.key == key).unwrap().origin.clone();
        assert_eq!(origin("engine.workers"), Origin::Flag);
        assert_eq!(origin("claim.batch_articles"), Origin::Environment("NERD_CLAIM_BATCH_ARTICLES".to_owned()));
        assert_eq!(origin("log.level"), Origin::File("nerd.toml".into()));
        assert_eq!(origin("http.address"), Origin::Default);
    }

    #[test]
    fn the_variables_of_the_replaced_step_are_understood() {
        let environment =
            [("DATABASE_URL", "postgresql://x"), ("POLL_INTERVAL", "60"), ("IDLE_POLL_INTERVAL", "300"), ("GAZETTEER_BATCH_SIZE", "50")];
        let (settings, _) = resolve(&sources("", &environment, &[])).unwrap();
        assert_eq!(settings.database.url.reveal(), "postgresql://x");
        assert_eq!((settings.claim.poll_interval, settings.claim.idle_poll_interval), (Duration::from_secs(60), Duration::from_secs(300)));
        assert_eq!(settings.claim.batch_articles, 50);
        let both = [("GAZETTEER_BATCH_SIZE", "50"), ("NERD_CLAIM_BATCH_ARTICLES", "7")];
        assert_eq!(resolve(&sources("", &both, &[])).unwrap().0.claim.batch_articles, 7);
    }

    #[test]
    fn the_replaced_steps_deployed_environment_is_valid() {
        let (settings, _) = resolve(&sources("", &[("POLL_INTERVAL", "60"), ("GAZETTEER_BATCH_SIZE", "50")], &[])).unwrap();
        assert_eq!((settings.claim.poll_interval, settings.claim.idle_poll_interval), (Duration::from_secs(60), Duration::from_secs(60)));
    }

    #[test]
    fn every_error_is_listed_with_its_place() {
        let file = "wrong = 1\n[claim]\nbatch_artices = 10\nlease = true\n[engine]\nworkers = \"two\"\n";
        let environment = [("NERD_ENGINE_DEVICE", "gpu"), ("NERD_ENGIN_WORKERS", "1")];
        let SettingsError(errors) = resolve(&sources(file, &environment, &[("retry.max_attempts", "0"), ("x.y", "1")])).unwrap_err();
        let all = errors.join("\n");
        for part in [
            "nerd.toml: wrong: a key outside a [section]",
            "nerd.toml: claim.batch_artices: unknown key (did you mean claim.batch_articles?)",
            "nerd.toml: claim.lease: wrong type: boolean where a duration belongs",
            "nerd.toml: engine.workers: wrong type: string where a whole number belongs",
            "environment NERD_ENGINE_DEVICE: engine.device: \"gpu\" is no device",
            "environment: NERD_ENGIN_WORKERS: unknown variable (did you mean NERD_ENGINE_WORKERS?)",
            "command line: retry.max_attempts: 0 is out of range: 1 to 100",
            "command line: x.y: unknown key",
        ] {
            assert!(all.contains(part), "{part:?} is not in\n{all}");
        }
        assert_eq!(errors.len(), 8, "{all}");
    }

    #[test]
    fn reuse_is_switched_off_in_either_tongue() {
        let file = "[reuse]\nmemory_bytes = 0\ndatabase = false\n";
        let (settings, _) = resolve(&sources(file, &[], &[])).unwrap();
        assert_eq!((settings.reuse.memory_bytes, settings.reuse.database), (0, false));
        let (settings, _) = resolve(&sources("", &[("NERD_REUSE_MEMORY_BYTES", "0")], &[("reuse.database", "false")])).unwrap();
        assert_eq!((settings.reuse.memory_bytes, settings.reuse.database), (0, false));
        let SettingsError(errors) = resolve(&sources("[reuse]\ndatabase = \"no\"\n", &[], &[])).unwrap_err();
        assert_eq!(errors, ["nerd.toml: reuse.database: wrong type: string where true or false belongs"]);
    }

    #[test]
    fn broken_toml_names_the_file() {
        let error = resolve(&sources("[claim\n", &[], &[])).unwrap_err();
        assert!(error.to_string().contains("nerd.toml: not TOML at line 1, column 7: "), "{error}");
    }

    #[test]
    fn secrets_are_hidden() {
        let (settings, effective) = resolve(&sources("", &[("DATABASE_URL", "postgresql://u:hunter2@h/d")], &[])).unwrap();
        assert!(!format!("{settings:?} {effective:?}").contains("hunter2"));
        let SettingsError(errors) = resolve(&sources("[database]\nurl = \"postgresql://u:hunter2@h/d\n", &[], &[])).unwrap_err();
        assert!(errors[0].starts_with("nerd.toml: not TOML at line 2, column ") && !errors[0].contains("hunter2"), "{errors:?}");
    }

    #[test]
    fn the_rules_of_rows_are_read_from_everywhere() {
        let file = "[output]\ncategories = \"\"\"\nPERSON = person,\nLOC = place,\nORG = institution\n\"\"\"\ncompat = \"strict\"\n[text]\ndecode_rot47 = false\n";
        let (settings, _) = resolve(&sources(file, &[("NERD_LABELS_MAP", "PER=PERSON")], &[("output.keywords", "media: herald")])).unwrap();
        let rules = &settings.output.rules;
        assert_eq!((rules.compat, settings.text.decode_rot47), (crate::domain::Compat::Strict, false));
        assert_eq!(&*rules.labels.apply(&"PER".into()), "PERSON");
        assert_eq!(rules.categories.of("EVENT", ""), None);
        assert_eq!(&*rules.categories.of("ORG", "the herald").unwrap().category, "media");
        assert_eq!(&*rules.categories.of("ORG", "a bank").unwrap().category, "institution");
    }

    #[test]
    fn a_renamed_label_keeps_a_category() {
        let SettingsError(errors) = resolve(&sources("", &[], &[("labels.map", "LOC=PLACE, DATE=TIME")])).unwrap_err();
        assert_eq!(errors, ["labels.map: PLACE has no category in output.categories, so no row would be kept of what is LOC now"]);
        let SettingsError(errors) = resolve(&sources("", &[], &[("output.extractor_version", "{sha}")])).unwrap_err();
        assert_eq!(errors, ["command line: output.extractor_version: {sha} is no field: there are {model}, {sha256}, {version}"]);
    }

    #[test]
    fn keys_are_held_against_each_other() {
        let SettingsError(errors) =
            resolve(&sources("[claim]\npoll_interval = \"1m\"\nidle_poll_interval = \"30s\"\n", &[], &[])).unwrap_err();
        assert_eq!(errors, ["claim.idle_poll_interval: shorter than claim.poll_interval"]);
    }
}
