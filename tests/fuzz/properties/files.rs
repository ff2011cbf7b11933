//! Files that a person or another program made: configuration, JSON lines, a model's directory. They are read, or refused with a
//! reason; what must not be told is not told.

use std::path::Path;

use nerd::cli::lines::Lines;
use nerd::domain::{DeviceChoice, PrecisionChoice};
use nerd::engine::manifest::ModelDirectory;
use nerd::engine::{EngineError, EngineFactory, EngineOptions, NerEngine, Progress, TransformerFactory};
use nerd::settings::{Sources, resolve};

/// In the configuration's URL; it must be told nowhere.
const PASSWORD: &str = "hunter2";

/// Any text is a configuration or is refused with a reason a line; a password before the error is not quoted.
pub fn settings_are_read_or_refused(text: &str) {
    for before in [
        "",
        "[database]\nurl = \"postgresql://u:hunter2@h/d\"\n",
        "[database]\nurl = 'postgresql://u:hunter2@h/d",
        "[database]\nurl = hunter2 ",
    ] {
        let sources = Sources { file: Some(("nerd.toml".into(), format!("{before}{text}"))), ..Sources::default() };
        match resolve(&sources) {
            Ok((settings, effective)) => {
                assert!(text.contains(PASSWORD) || !format!("{settings:?} {effective:?}").contains(PASSWORD));
                assert!(settings.claim.batch_articles > 0 && settings.claim.idle_poll_interval >= settings.claim.poll_interval);
            }
            Err(error) => {
                assert!(
                    !error.0.is_empty() && error.0.iter().all(|line| line.starts_with("nerd.toml: ") || line.contains(": ")),
                    "{error}"
                );
                assert!(text.contains(PASSWORD) || !error.to_string().contains(PASSWORD), "a secret in {error}");
            }
        }
    }
    let pairs =
        || text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    let environment = pairs().map(|(name, value)| (format!("NERD_{}", name.replace('.', "_").to_uppercase()), value)).collect();
    let _ = resolve(&Sources { file: None, environment, flags: pairs().collect() });
}

/// Every line that is not blank is a document or a complaint that names it and quotes nothing.
pub fn lines_are_read_or_named(bytes: &[u8]) {
    let numbers: Vec<usize> =
        bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(at, _)| at + 1).collect();
    let found: Vec<_> = Lines::new("in".to_owned(), bytes).collect();
    assert_eq!(found.len(), numbers.len(), "a document or a complaint for each line that is not blank");
    for (outcome, number) in found.into_iter().zip(numbers) {
        match outcome {
            Ok(document) => {
                // A member that is not asked for may be what only a lenient reader takes, down to bytes that are no UTF-8. Of a list,
                // the second is the text.
                let line = bytes.split(|&byte| byte == b'\n').nth(number - 1).expect("the line was counted");
                let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
                assert_eq!(value["text"].as_str().or(value[1].as_str()), Some(&*document.text));
            }
            Err(complaint) => {
                let reason = complaint.strip_prefix(&format!("in line {number}: {{\"id\": …, \"text\": …}} expected: "));
                let reason = reason.unwrap_or_else(|| panic!("line {number} is not named in {complaint:?}"));
                assert!(!reason.is_empty() && !reason.contains('"') && reason.is_ascii(), "{reason:?} quotes the line");
            }
        }
    }
}

/// The smallest model that loads: what stands for a part that is not under attack.
pub const CONFIG: &str = r#"{"model_type":"bert","vocab_size":10,"hidden_size":64,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":64,"hidden_act":"gelu","hidden_dropout_prob":0.1,"attention_probs_dropout_prob":0.1,"max_position_embeddings":40,"type_vocab_size":4,"initializer_range":0.02,"id2label":{"0":"O","1":"B-NAME","2":"I-NAME"}}"#;
pub const MANIFEST: &str = r#"{"name":"small","version":"1","architecture":"bert","weights":{"file":"model.safetensors","sha256":"SHA256","bytes":BYTES},"token_types":"word_shape","max_pieces":38,"lowercase":true,"labels":["O","B-NAME","I-NAME"],"golden":[{"text":"Ann","entities":[]}]}"#;
const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nann\nlee\nof\ncolumbia\n##s\n.\n";

/// The weights that belong to [`CONFIG`].
pub fn weights() -> Vec<u8> {
    let (width, mut tensors) = (64, Vec::new());
    let mut linear = |name: &str, outer: usize, inner: usize| {
        tensors.push((format!("{name}.weight"), vec![outer, inner]));
        tensors.push((format!("{name}.bias"), vec![outer]));
    };
    for name in [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ] {
        linear(&format!("bert.encoder.layer.0.{name}"), width, width);
    }
    linear("classifier", 3, width);
    for name in ["bert.encoder.layer.0.attention.output.LayerNorm", "bert.encoder.layer.0.output.LayerNorm", "bert.embeddings.LayerNorm"] {
        tensors.extend(["weight", "bias"].map(|end| (format!("{name}.{end}"), vec![width])));
    }
    for (name, rows) in [("word", 10), ("position", 40), ("token_type", 4)] {
        tensors.push((format!("bert.embeddings.{name}_embeddings.weight"), vec![rows, width]));
    }
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape)| (0..shape.iter().product::<usize>()).flat_map(|n| ((n % 7) as f32 - 3.0).to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
        (
            name.as_str(),
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).expect("the shape is the data's"),
        )
    });
    safetensors::serialize(views, None).expect("tensors have distinct names")
}

/// A directory with these files, each empty one replaced by a good one, is a model that works, or is refused with the file's name.
/// Returns whether it was one.
pub fn a_model_is_read_or_refused(config: &[u8], manifest: &[u8], weights: &[u8]) -> bool {
    thread_local!(static DIRECTORY: tempfile::TempDir = tempfile::tempdir().expect("a directory for a model"));
    DIRECTORY.with(|directory| {
        let directory = directory.path();
        let good = self::weights();
        let weights = if weights.is_empty() { &good } else { weights };
        let (digest, length) = (digest(weights), weights.len().to_string());
        // Where the manifest is good, it names the weights that are there.
        let named = MANIFEST.replace("SHA256", &digest).replace("BYTES", &length);
        let filled = String::from_utf8_lossy(manifest).replace("SHA256", &digest).replace("BYTES", &length);
        let put = |name: &str, content: &[u8]| std::fs::write(directory.join(name), content).expect("the directory can be written");
        put("vocab.txt", VOCABULARY.as_bytes());
        put("config.json", if config.is_empty() { CONFIG.as_bytes() } else { config });
        put("model.safetensors", weights);
        match manifest {
            [] => put("manifest.json", named.as_bytes()),
            b"none" => drop(std::fs::remove_file(directory.join("manifest.json"))),
            _ => put("manifest.json", filled.as_bytes()),
        }
        match ModelDirectory::open(directory) {
            Ok(model) => assert!(!model.labels.is_empty() && model.max_pieces > 0, "{model:?}"),
            Err(error) => return refused(&error, directory),
        }
        [PrecisionChoice::F32, PrecisionChoice::Auto].into_iter().all(|precision| {
            let options = EngineOptions {
                model_directory: directory.to_owned(),
                device: DeviceChoice::Cpu,
                precision,
                batch_tokens: 64,
                threads_per_worker: 1,
            };
            match TransformerFactory::load(&options).and_then(|factory| factory.build()) {
                Ok(mut engine) => works(engine.as_mut()),
                Err(error) => refused(&error, directory),
            }
        })
    })
}

fn works(engine: &mut dyn NerEngine) -> bool {
    let text = "Ann Lee of Columbia's. ann OF NATO iPhone 7 ".repeat(9);
    let annotation = engine.annotate(&[&text, ""], &Progress::default()).expect("a model that loads computes");
    for entities in annotation.texts.iter().flatten() {
        super::text::are_slices(&text, entities);
    }
    true
}

/// That no second try would help, and which file is at fault.
fn refused(error: &EngineError, directory: &Path) -> bool {
    let EngineError::Permanent(reason) = error else { panic!("{error} is not permanent") };
    assert!(reason.contains(&*directory.to_string_lossy()), "{reason:?} does not name the file");
    false
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
