//! The engine on the real, bundled model; and on small random ones of the other architectures.

mod support;

use std::path::{Path, PathBuf};

use nerd::domain::{DeviceChoice, Entity, PrecisionChoice};
use nerd::engine::{EngineFactory, EngineOptions, NerEngine, Progress, TransformerFactory};
use nerd::native::Kernels;
use support::articles::{hard, samples};

fn options(directory: PathBuf, precision: PrecisionChoice) -> EngineOptions {
    EngineOptions { model_directory: directory, device: DeviceChoice::Cpu, precision, batch_tokens: 768, threads_per_worker: 1 }
}

fn bundled(precision: PrecisionChoice) -> TransformerFactory {
    model("news-ner", precision)
}

fn model(name: &str, precision: PrecisionChoice) -> TransformerFactory {
    TransformerFactory::load(&options(Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name), precision)).unwrap()
}

/// What this processor computes in; int8 needs its kernels.
fn precisions() -> Vec<PrecisionChoice> {
    let int8 = Kernels::detect().map(|_| PrecisionChoice::Int8);
    [PrecisionChoice::F32, PrecisionChoice::Bf16].into_iter().chain(int8).collect()
}

/// bf16 is emulated, tens of times slower, where the processor lacks it: a few texts are enough there.
fn few_if_emulated<T>(precision: PrecisionChoice, mut texts: Vec<T>) -> Vec<T> {
    let native = std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|flags| flags.contains("bf16"));
    if precision == PrecisionChoice::Bf16 && !native {
        eprintln!("bf16 is emulated here: {} texts of {}", FEW.min(texts.len()), texts.len());
        texts.truncate(FEW);
    }
    texts
}

const FEW: usize = 8;

fn annotate(engine: &mut dyn NerEngine, texts: &[&str]) -> Vec<Vec<Entity>> {
    let annotation = engine.annotate(texts, &Progress::default()).unwrap();
    assert_eq!(annotation.texts.len(), texts.len());
    annotation.texts.into_iter().map(Result::unwrap).collect()
}

/// Without the scores, which may differ in the last digits.
fn spans(entities: &[Entity]) -> Vec<(usize, usize, String)> {
    entities.iter().map(|e| (e.start, e.end, e.label.to_string())).collect()
}

/// Entities that only one of the two has.
fn differences(one: &[Vec<Entity>], other: &[Vec<Entity>]) -> usize {
    one.iter()
        .zip(other)
        .map(|(a, b)| {
            let (a, b) = (spans(a), spans(b));
            a.iter().filter(|span| !b.contains(span)).count().max(b.iter().filter(|span| !a.contains(span)).count())
        })
        .sum()
}

#[test]
fn both_models_find_their_golden_text_in_every_precision() {
    for (name, precision) in ["news-ner", "news-ner-fast"].into_iter().flat_map(|name| precisions().into_iter().map(move |p| (name, p))) {
        let factory = model(name, precision);
        assert!(!factory.golden().is_empty());
        let mut engine = factory.build().unwrap();
        for golden in factory.golden() {
            let found = spans(&annotate(engine.as_mut(), &[&golden.text])[0]);
            for entity in &golden.entities {
                assert!(found.contains(entity), "{name}, {precision:?}: {entity:?} is not in {found:?}");
            }
        }
    }
}

/// The invariant: an article's entities are the same alone and in any batch. In f32 and int8 exactly; in bf16 near-ties may fall
/// the other way, at most one entity in two thousand.
#[test]
fn an_article_alone_and_among_many_gives_the_same() {
    let (samples, hard) = (samples(), hard());
    let texts: Vec<&str> = hard.iter().filter(|(name, _)| name != "200000-words").chain(&samples).map(|(_, text)| text.as_str()).collect();
    for precision in precisions() {
        let texts = few_if_emulated(precision, texts.clone());
        let allowed_in_two_thousand = usize::from(precision == PrecisionChoice::Bf16);
        let mut engine = bundled(precision).build().unwrap();
        let alone: Vec<Vec<Entity>> = texts.iter().flat_map(|text| annotate(engine.as_mut(), &[text])).collect();
        let together = annotate(engine.as_mut(), &texts);
        let total: usize = alone.iter().map(Vec::len).sum();
        assert!(texts.len() == FEW || total > 1_000, "the samples hold {total} entities");
        let different = differences(&alone, &together);
        assert!(different <= allowed_in_two_thousand * total.div_ceil(2_000), "{precision:?}: {different} of {total} differ");
    }
}

/// rust-bert's own pipeline decodes the windows of its second internal batch with the first one's features: an article at
/// place 70 of a call, behind far more than 64 windows, must not notice.
#[test]
fn many_windows_in_one_call_are_decoded_with_their_own_features() {
    let samples = samples();
    let article = samples[0].1.as_str();
    let mut texts: Vec<&str> = (0..500).map(|n| samples[n % samples.len()].1.as_str()).collect();
    texts[70] = article;
    let mut engine = bundled(PrecisionChoice::F32).build().unwrap();
    let alone = annotate(engine.as_mut(), &[article]);
    let annotation = engine.annotate(&texts, &Progress::default()).unwrap();
    assert!(annotation.work.windows > 640, "{:?}", annotation.work);
    let found = annotation.texts[70].as_ref().unwrap();
    assert_eq!(spans(found), spans(&alone[0]));
    for (text, entities) in texts.iter().zip(&annotation.texts) {
        let characters: Vec<char> = text.chars().collect();
        for entity in entities.as_ref().unwrap() {
            assert_eq!(entity.text, characters[entity.start..entity.end].iter().collect::<String>());
        }
    }
}

#[test]
fn other_precisions_agree_with_f32_but_for_near_ties() {
    let samples = samples();
    for (name, precision) in
        [("news-ner", PrecisionChoice::Bf16), ("news-ner", PrecisionChoice::Int8), ("news-ner-fast", PrecisionChoice::Int8)]
    {
        if !precisions().contains(&precision) {
            eprintln!("no int8 kernels for this processor");
            continue;
        }
        let texts: Vec<&str> = few_if_emulated(precision, samples.iter().map(|(_, text)| text.as_str()).collect());
        let exact = annotate(model(name, PrecisionChoice::F32).build().unwrap().as_mut(), &texts);
        let fast = annotate(model(name, precision).build().unwrap().as_mut(), &texts);
        let total: usize = exact.iter().map(Vec::len).sum();
        let different = differences(&exact, &fast);
        assert!(different * 100 <= total * 3, "{name}, {precision:?}: {different} of {total} differ, more than 3 in 100");
    }
}

/// The Python reference implementation on the same weights in f32, written by `models/recipe/reference.py`.
#[test]
fn agrees_with_the_reference_on_every_entity() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reference.jsonl");
    let reference = std::fs::read_to_string(file).unwrap();
    let samples = samples();
    let texts: Vec<&str> = samples.iter().map(|(_, text)| text.as_str()).collect();
    let found = annotate(bundled(PrecisionChoice::F32).build().unwrap().as_mut(), &texts);
    let mut compared = 0;
    for line in reference.lines() {
        let expected: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = expected["id"].as_str().unwrap().trim_end_matches(".txt");
        let place = samples.iter().position(|(name, _)| name == id).unwrap_or_else(|| panic!("no sample {id}"));
        let expected: Vec<(usize, usize, String)> = expected["entities"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| (e["start"].as_u64().unwrap() as usize, e["end"].as_u64().unwrap() as usize, e["label"].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(spans(&found[place]), expected, "{id}");
        compared += expected.len();
    }
    assert!(compared > 1_000, "only {compared} entities compared");
}

#[test]
fn padding_is_counted_and_small() {
    let samples = samples();
    let texts: Vec<&str> = samples.iter().map(|(_, text)| text.as_str()).collect();
    let work = bundled(PrecisionChoice::F32).build().unwrap().annotate(&texts, &Progress::default()).unwrap().work;
    assert!(work.words > 10_000 && work.content_tokens > work.words, "{work:?}");
    assert!(work.padding_tokens * 10 < work.content_tokens, "sorted by length: {work:?}");
    if Kernels::detect().is_some() {
        let work = bundled(PrecisionChoice::Int8).build().unwrap().annotate(&texts, &Progress::default()).unwrap().work;
        assert!(work.content_tokens > work.words && work.padding_tokens == 0, "int8 computes no padding: {work:?}");
    }
}

mod architectures {
    use rust_bert::Config;
    use rust_bert::bert::{BertConfig, BertForTokenClassification};
    use rust_bert::deberta::{DebertaConfig, DebertaForTokenClassification};
    use rust_bert::distilbert::{DistilBertConfig, DistilBertForTokenClassification};
    use rust_bert::electra::{ElectraConfig, ElectraForTokenClassification};
    use rust_bert::roberta::RobertaForTokenClassification;
    use serde_json::json;
    use tch::{Device, nn};

    use super::*;

    const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nann\nlee\nof\ncolumbia\n##s\n.\n";

    /// A small random model, written as Hugging Face directories are, must load and run in whole sentences.
    fn runs(config: serde_json::Value, make: fn(&nn::Path, &Path)) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        std::fs::write(directory.path().join("vocab.txt"), VOCABULARY).unwrap();
        tch::manual_seed(7);
        let variables = nn::VarStore::new(Device::Cpu);
        make(&variables.root(), &file);
        variables.save(directory.path().join("model.safetensors")).unwrap();
        let factory = TransformerFactory::load(&options(directory.path().to_owned(), PrecisionChoice::F32)).unwrap();
        assert_eq!(factory.model().labels, ["NAME"]);
        let mut engine = factory.build().unwrap();
        let text = "Ann Lee of Columbia. ".repeat(30);
        let alone = annotate(engine.as_mut(), &[&text]);
        let together = annotate(engine.as_mut(), &["Ann", &text, "", "of of of"]);
        assert_eq!(spans(&alone[0]), spans(&together[1]));
    }

    fn base(model_type: &str) -> serde_json::Value {
        json!({
            "model_type": model_type, "vocab_size": 10, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 32, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
            "max_position_embeddings": 140, "type_vocab_size": 2, "initializer_range": 0.5, "layer_norm_eps": 1e-12,
            "id2label": {"0": "O", "1": "B-NAME", "2": "I-NAME"}, "label2id": {"O": 0, "B-NAME": 1, "I-NAME": 2}
        })
    }

    fn merged(model_type: &str, more: serde_json::Value) -> serde_json::Value {
        let mut config = base(model_type);
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    }

    #[test]
    fn bert() {
        runs(base("bert"), |root, file| drop(BertForTokenClassification::new(root, &BertConfig::from_file(file)).unwrap()));
    }

    #[test]
    fn roberta() {
        let config = merged("roberta", json!({ "pad_token_id": 1 }));
        runs(config, |root, file| drop(RobertaForTokenClassification::new(root, &BertConfig::from_file(file)).unwrap()));
    }

    #[test]
    fn distilbert() {
        let config = merged(
            "distilbert",
            json!({ "activation": "gelu", "attention_dropout": 0.1, "dim": 16, "dropout": 0.1, "hidden_dim": 32, "n_heads": 2,
                "n_layers": 2, "qa_dropout": 0.1, "seq_classif_dropout": 0.1, "sinusoidal_pos_embds": false, "tie_weights_": true }),
        );
        runs(config, |root, file| drop(DistilBertForTokenClassification::new(root, &DistilBertConfig::from_file(file)).unwrap()));
    }

    #[test]
    fn electra() {
        let config = merged("electra", json!({ "embedding_size": 16, "pad_token_id": 0 }));
        runs(config, |root, file| drop(ElectraForTokenClassification::new(root, &ElectraConfig::from_file(file)).unwrap()));
    }

    #[test]
    fn deberta() {
        let config = merged("deberta", json!({ "position_biased_input": true, "type_vocab_size": 0 }));
        runs(config, |root, file| drop(DebertaForTokenClassification::new(root, &DebertaConfig::from_file(file)).unwrap()));
    }
}
