//! Bad input by property: hostile texts, names, files and network outputs, drawn anew in every run and shrunk when one is found
//! to do harm. The properties are the fuzz targets' own (`tests/fuzz/properties`), whose corpus is replayed here too.

#[path = "fuzz/hostile.rs"]
mod hostile;
#[path = "fuzz/properties/mod.rs"]
mod properties;

use std::time::{Duration, Instant};

use hostile::{bytes, edited, hostile, huge};
use properties::{TARGETS, files, names, network, text};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Cases of each property without a network.
const CUT: u32 = 16_000;
const DECODED: u32 = 16_000;
const OFFSETS: u32 = 16_000;
const NORMAL: u32 = 20_000;
const SCRAMBLED: u32 = 12_000;
const NAMES: u32 = 12_000;
const SETTINGS: u32 = 5_000;
const LINES: u32 = 8_000;
const MODELS: u32 = 2_000;
const _: () = assert!(CUT + DECODED + OFFSETS + NORMAL + SCRAMBLED + NAMES + SETTINGS + LINES + MODELS >= 100_000);

/// So many cases; what fails is shrunk and told whole, and kept in no file: a case worth keeping becomes a corpus file.
fn check<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4_096, ..Config::default() };
    let outcome = TestRunner::new(config).run(&strategy, |value| {
        property(value);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn every_text_is_cut_whole() {
    check(CUT, (hostile(), 1usize..40), |(text, max)| text::is_cut_whole(&text, max));
}

#[test]
fn whatever_the_network_says_entities_are_slices() {
    check(DECODED, (hostile(), bytes(60)), |(text, network)| text::decodes(&text, &network));
}

#[test]
fn offsets_name_slices() {
    check(OFFSETS, (hostile(), bytes(12)), |(text, spans)| text::offsets_slice(&text, &spans));
}

#[test]
fn normal_forms_are_stable() {
    check(NORMAL, hostile(), |text| text::normal_forms_are_stable(&text));
}

#[test]
fn scrambled_text_knows_its_places() {
    check(SCRAMBLED, hostile(), |text| text::scrambled_text_knows_its_places(&text));
}

#[test]
fn names_are_matched_where_they_stand() {
    let parts = (prop::collection::vec(hostile::part(), 0..4), hostile(), hostile());
    check(NAMES, parts, |(names, before, after)| {
        // Every name is in the text, too.
        names::mentions_are_slices(&names, &format!("{before} {} {after}", names.join(" ")));
    });
}

#[test]
fn settings_are_read_or_refused() {
    // With every key alive.
    let alive = |line: &'static str| line.strip_prefix("# ").filter(|key| key.contains(" = ")).unwrap_or(line);
    let shipped = include_str!("../config/nerd.toml").lines().map(alive).collect::<Vec<_>>().join("\n");
    let text =
        prop_oneof![3 => edited(shipped), 1 => hostile(), 1 => edited("[log]\nlevel = \"info\"\n[claim]\nlease = \"60s\"\n".to_owned())];
    check(SETTINGS, text, |text| files::settings_are_read_or_refused(&text));
}

#[test]
fn lines_are_read_or_named() {
    let good = "{\"id\": \"a\", \"text\": \"Ann Lee\"}\r\n\n{\"id\": [1, {}], \"text\": \"\\u00e9\\ud83d\\ude00\"}\n[7, \"text\"]\n{\"text\": null}\n\"Ann\"";
    let text =
        prop_oneof![3 => edited(good.to_owned()).prop_map(String::into_bytes), 1 => hostile().prop_map(String::into_bytes), 1 => bytes(80)];
    check(LINES, text, |bytes| files::lines_are_read_or_named(&bytes));
}

#[test]
fn a_model_is_read_or_refused() {
    assert!(files::a_model_is_read_or_refused(&[], &[], &[]), "the model that is then spoilt is a good one");
    let header = files::weights();
    let length = 8 + u64::from_le_bytes(*header.first_chunk().unwrap()) as usize;
    let (header, data) = (String::from_utf8(header[8..length].to_vec()).unwrap(), header[length..].to_vec());
    let weights = edited(header).prop_map(move |header| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat());
    let (config, manifest) = (edited(files::CONFIG.to_owned()), edited(files::MANIFEST.to_owned()));
    let none = || Just(Vec::new());
    let own = |text: String| text.into_bytes();
    let parts = prop_oneof![
        3 => (config.prop_map(own), prop_oneof![none(), Just(b"none".to_vec())], none()),
        2 => (none(), manifest.prop_map(own), none()),
        3 => (none(), prop_oneof![none(), Just(b"none".to_vec())], weights),
        1 => (none(), none(), bytes(200)),
    ];
    check(MODELS, parts, |(config, manifest, weights)| {
        files::a_model_is_read_or_refused(&config, &manifest, &weights);
    });
}

/// Megabytes of one letter, of marks, of line ends: each property in time that grows with the text, not with its square.
#[test]
fn huge_texts_take_no_more_than_their_size() {
    for (name, text) in huge() {
        let timed = |what: &str, property: &dyn Fn()| {
            let begun = Instant::now();
            property();
            let (taken, limit) = (begun.elapsed(), Duration::from_secs(20));
            assert!(taken < limit, "{what} of {} bytes of {name} took {taken:?}", text.len());
        };
        timed("cutting", &|| text::is_cut_whole(&text, 126));
        timed("decoding", &|| text::decodes(&text, &[0, 39, 200, 3, 90, 2, 7]));
        timed("offsets", &|| text::offsets_slice(&text, &[3, 77, 0, 255, 20, 30]));
        timed("normal forms", &|| text::normal_forms_are_stable(&text));
        timed("decoding of ROT47", &|| text::scrambled_text_knows_its_places(&text));
        timed("matching", &|| {
            names::mentions_are_slices(&["a".into(), "a a a".into(), "Ann Lee".into(), text.chars().take(999).collect()], &text)
        });
        timed("reading lines", &|| files::lines_are_read_or_named(text.as_bytes()));
        timed("reading settings", &|| files::settings_are_read_or_refused(&text));
    }
}

/// The real model: a text alone and among others gives the same, offsets slice.
#[test]
fn hostile_texts_through_the_real_model() {
    const CALLS: u32 = 50;
    let (texts, entities) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    check(CALLS, prop::collection::vec(hostile(), 6), |batch| {
        texts.set(texts.get() + batch.len());
        entities.set(entities.get() + network::alone_and_together_are_the_same(&batch));
    });
    assert!(texts.get() >= 300 && entities.get() > 100, "{} texts with {} entities", texts.get(), entities.get());
    let huge: Vec<String> = huge().into_iter().map(|(_, text)| text.chars().take(20_000).collect()).collect();
    network::alone_and_together_are_the_same(&huge);
}

/// What was found once, and where the fuzzer begins. Every target has seeds, every directory is a target's.
#[test]
fn the_corpus_does_no_harm() {
    let corpus = properties::root().join("tests/fuzz/corpus");
    for (name, target) in TARGETS {
        let seeds: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("corpus/{name}: {error}")).collect();
        assert!(seeds.len() > 1, "corpus/{name} has too few seeds");
        for seed in seeds {
            let path = seed.unwrap().path();
            eprintln!("{}", path.display());
            target(&std::fs::read(&path).unwrap());
        }
        let source = corpus.with_file_name("fuzz_targets").join(format!("{name}.rs"));
        let source = std::fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        assert!(source.contains(&format!("run({name:?}, data)")), "{name} has a fuzz target of its own");
    }
    for directory in std::fs::read_dir(&corpus).unwrap() {
        let name = directory.unwrap().file_name();
        assert!(TARGETS.iter().any(|(target, _)| **target == *name), "{name:?} is no target's corpus");
    }
}
