//! What a model directory says of itself: `manifest.json` where the model is ours, `config.json` alone for any other
//! Hugging Face token-classification directory. Checked before the weights are touched; every complaint names the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{EngineError, Golden};

/// How token types are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenTypes {
    /// All 0: models from elsewhere.
    #[default]
    None,
    /// The shape of the piece's word, see [`super::shape`].
    WordShape,
}

/// The encoders that the engine can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    Bert,
    Distilbert,
    Roberta,
    Electra,
    Deberta,
}

const ARCHITECTURES: &str = "bert, distilbert, roberta, electra, deberta";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestFile {
    name: String,
    version: String,
    architecture: String,
    weights: WeightsFile,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    token_types: TokenTypes,
    max_pieces: usize,
    #[serde(default = "yes")]
    lowercase: bool,
    #[serde(default)]
    int8: bool,
    labels: Vec<String>,
    #[serde(default)]
    golden: Vec<GoldenText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightsFile {
    file: String,
    sha256: String,
    bytes: u64,
}

#[derive(Deserialize)]
struct GoldenText {
    text: String,
    entities: Vec<GoldenEntity>,
}

#[derive(Deserialize)]
struct GoldenEntity {
    label: String,
    start: usize,
    end: usize,
}

#[derive(Deserialize)]
struct ConfigFile {
    model_type: Option<String>,
    #[serde(default)]
    id2label: Option<BTreeMap<String, String>>,
    #[serde(default)]
    max_position_embeddings: Option<usize>,
}

fn yes() -> bool {
    true
}

/// A model directory whose small files were found and agree with each other.
#[derive(Debug)]
pub struct ModelDirectory {
    pub path: PathBuf,
    pub name: String,
    pub version: String,
    pub architecture: Architecture,
    pub weights: PathBuf,
    /// Expected digest and length of the weights; `None` where there is no manifest.
    pub expected: Option<(String, u64)>,
    pub token_types: TokenTypes,
    /// Pieces a window, the special ones not counted.
    pub max_pieces: usize,
    pub lowercase: bool,
    /// Whether its makers measured it in int8 and found it good: `auto` then takes it.
    pub int8: bool,
    /// Label names by index.
    pub labels: Vec<String>,
    pub golden: Vec<Golden>,
    /// `config.json` as it stands, for the graph's own configuration type.
    pub config: String,
}

/// Window length for models without a manifest: attention's cost grows with the square, longer windows were slower.
const DEFAULT_MAX_PIECES: usize = 126;

impl ModelDirectory {
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        if !path.is_dir() {
            return Err(permanent(path, "no such model directory: give one with --model or model.path"));
        }
        let config_path = path.join("config.json");
        let config = read(&config_path)?;
        let parsed: ConfigFile = parse(&config_path, &config)?;
        let manifest_path = path.join("manifest.json");
        let manifest = if manifest_path.exists() {
            let text = read(&manifest_path)?;
            Some(parse::<ManifestFile>(&manifest_path, &text)?)
        } else {
            None
        };
        let named = manifest.as_ref().map(|m| m.architecture.clone()).or(parsed.model_type).unwrap_or_default();
        let architecture = serde_json::from_value(serde_json::Value::String(named.clone()))
            .map_err(|_| permanent(&config_path, &format!("unknown architecture {named:?}: nerd runs {ARCHITECTURES}")))?;
        let labels = labels(&config_path, parsed.id2label)?;
        let positions = parsed.max_position_embeddings.unwrap_or(512);
        // RoBERTa's positions begin after the padding index.
        let room = positions.saturating_sub(if architecture == Architecture::Roberta { 4 } else { 2 });
        if room == 0 {
            return Err(permanent(&config_path, &format!("max_position_embeddings is {positions}: no room for a piece")));
        }
        let Some(manifest) = manifest else {
            let weights = path.join("model.safetensors");
            exists(&weights)?;
            return Ok(Self {
                name: path.file_name().map_or_else(|| "model".to_owned(), |n| n.to_string_lossy().into_owned()),
                version: "0".to_owned(),
                architecture,
                weights,
                expected: None,
                token_types: TokenTypes::None,
                max_pieces: DEFAULT_MAX_PIECES.min(room),
                lowercase: true,
                int8: false,
                labels,
                golden: Vec::new(),
                config,
                path: path.to_owned(),
            });
        };
        if manifest.labels != labels {
            return Err(permanent(&manifest_path, "its labels are not those of config.json's id2label"));
        }
        if manifest.max_pieces == 0 || manifest.max_pieces > room {
            let message = format!("max_pieces is {}, the model has room for 1 to {room}", manifest.max_pieces);
            return Err(permanent(&manifest_path, &message));
        }
        for (file, expected) in &manifest.files {
            let file = path.join(file);
            exists(&file)?;
            let found = hexadecimal(&std::fs::read(&file).map_err(|error| unreadable(&file, &error))?);
            if found != *expected {
                return Err(wrong_digest(&file, &found, expected));
            }
        }
        let weights = path.join(&manifest.weights.file);
        exists(&weights)?;
        Ok(Self {
            name: manifest.name,
            version: manifest.version,
            architecture,
            weights,
            expected: Some((manifest.weights.sha256, manifest.weights.bytes)),
            token_types: manifest.token_types,
            max_pieces: manifest.max_pieces,
            lowercase: manifest.lowercase,
            int8: manifest.int8,
            labels,
            golden: manifest
                .golden
                .into_iter()
                .map(|g| Golden { text: g.text, entities: g.entities.into_iter().map(|e| (e.start, e.end, e.label)).collect() })
                .collect(),
            config,
            path: path.to_owned(),
        })
    }
}

/// The labels in the order of their indices, which must be 0, 1, 2…
fn labels(config: &Path, map: Option<BTreeMap<String, String>>) -> Result<Vec<String>, EngineError> {
    let map = map
        .filter(|m| !m.is_empty())
        .ok_or_else(|| permanent(config, "no label map (id2label): this is no token-classification model, or its export is incomplete"))?;
    (0..map.len())
        .map(|index| map.get(&index.to_string()).cloned().ok_or_else(|| permanent(config, &format!("id2label has no label {index}"))))
        .collect()
}

/// Lower-case hexadecimal SHA-256.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn wrong_digest(file: &Path, found: &str, expected: &str) -> EngineError {
    permanent(file, &format!("its sha256 is {found}, the manifest says {expected}: fetch the model again"))
}

pub(super) fn permanent(file: &Path, message: &str) -> EngineError {
    EngineError::Permanent(format!("{}: {message}", file.display()))
}

pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> EngineError {
    permanent(file, &format!("cannot be read: {error}"))
}

fn exists(file: &Path) -> Result<(), EngineError> {
    if file.is_file() { Ok(()) } else { Err(permanent(file, "missing from the model directory")) }
}

fn read(file: &Path) -> Result<String, EngineError> {
    exists(file)?;
    std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))
}

fn parse<T: serde::de::DeserializeOwned>(file: &Path, text: &str) -> Result<T, EngineError> {
    serde_json::from_str(text).map_err(|error| permanent(file, &format!("not what it should be: {error}")))
}
