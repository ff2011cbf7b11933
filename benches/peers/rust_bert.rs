//! rust-bert's own `TokenClassificationModel::predict`, f32, fed so that it works: slices of text that fit one window
//! (`benches/peers/slices.py` cuts them at sentence ends, longest first), at most 64 a call. With more, version 0.23 decodes the
//! rows of the second and later internal batches with the first batch's features and panics.
//!
//! Prints one JSON object as the other peers do. The cutting is not in the time.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use rust_bert::pipelines::common::{ModelResource, ModelType};
use rust_bert::pipelines::token_classification::{LabelAggregationOption, TokenClassificationConfig, TokenClassificationModel};
use rust_bert::resources::LocalResource;
use tch::Device;

#[derive(Parser)]
#[command(about = "rust-bert's own predict on slices of articles")]
struct Arguments {
    /// JSON lines {"text"}: slices of at most 126 wordpieces
    #[arg(long)]
    data: PathBuf,
    /// directory with config.json, vocab.txt and model.safetensors
    #[arg(long, default_value = "models/news-ner")]
    model: PathBuf,
    /// slices of one call
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=64))]
    batch_size: u16,
    /// threads inside the matrix products
    #[arg(long, default_value_t = 2)]
    threads: i32,
}

#[derive(serde::Deserialize)]
struct Slice {
    text: String,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tch::set_num_threads(arguments.threads);
    let slices = read(&arguments.data)?;
    let begin = Instant::now();
    let model = load(&arguments.model)?;
    let calls: Vec<&[String]> = slices.chunks(arguments.batch_size.into()).collect();
    for call in [calls.first(), calls.last()].into_iter().flatten() {
        model.predict(call, true, false);
    }
    let load = begin.elapsed();
    let start = Instant::now();
    let found: usize = calls.iter().flat_map(|call| model.predict(call, true, false)).map(|tokens| tokens.len()).sum();
    let elapsed = start.elapsed();
    println!("{}", report(&arguments, &slices, found, load, elapsed)?);
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<String>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    BufReader::new(file).lines().map(|line| Ok(serde_json::from_str::<Slice>(&line?)?.text)).collect()
}

fn load(directory: &Path) -> anyhow::Result<TokenClassificationModel> {
    let resource = |name: &str| LocalResource { local_path: directory.join(name) };
    let mut configuration = TokenClassificationConfig::new(
        ModelType::Bert,
        ModelResource::Torch(Box::new(resource("model.safetensors"))),
        resource("config.json"),
        resource("vocab.txt"),
        None,
        true,
        None,
        None,
        LabelAggregationOption::First,
    );
    configuration.device = Device::Cpu;
    Ok(TokenClassificationModel::new(configuration)?)
}

/// Words are whitespace-separated tokens with at least one letter or digit, as everywhere in these measurements.
fn report(arguments: &Arguments, slices: &[String], tokens: usize, load: Duration, elapsed: Duration) -> anyhow::Result<serde_json::Value> {
    let words = slices.iter().flat_map(|text| text.split_whitespace()).filter(|token| token.chars().any(char::is_alphanumeric)).count();
    Ok(serde_json::json!({
        "system": "rust-bert predict",
        "slices": slices.len(),
        "tokens": tokens,
        "words": words,
        "seconds": elapsed.as_secs_f64(),
        "words_per_second": words as f64 / elapsed.as_secs_f64(),
        "load_seconds": load.as_secs_f64(),
        "peak_rss_bytes": peak_rss()?,
        "settings": {"batch_size": arguments.batch_size, "threads": arguments.threads},
    }))
}

/// `VmHWM` of this process, in bytes.
fn peak_rss() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel does not report VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
