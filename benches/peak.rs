//! How much of the processor's peak of byte products the network reaches: the bare kernel and the whole engine in turn, on every
//! core at once, so that a slow minute meets both; and the bare kernel on one core, which tells what the others add on this machine.
//! The kernel's products are of the model's own largest shape, their bytes in the caches; the engine's are those that the model
//! needs for its real tokens, by its configuration, over all the time of a call: tokenizing, attention, norms and decoding included.
//!
//! Prints one JSON object; without int8 on this processor it says so and ends with 1.

mod product;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use nerd::domain::{DeviceChoice, PrecisionChoice};
use nerd::engine::{EngineFactory, EngineOptions, NerEngine, Progress, TransformerFactory};
use nerd::native::{Activation, Kernels};
use product::Product;

#[derive(Parser)]
#[command(about = "Share of the processor's peak of byte products that the network reaches")]
struct Arguments {
    /// JSON lines {"text"}
    #[arg(long)]
    data: PathBuf,
    #[arg(long, default_value = "models/news-ner")]
    model: PathBuf,
    /// turns of kernel and engine
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// threads, an engine each; 0: one a core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(serde::Deserialize)]
struct Article {
    text: String,
}

/// What the model's products take, from its config.json.
#[derive(serde::Deserialize)]
struct Shape {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
}

impl Shape {
    /// Multiplications of the linear layers. In the last layer only first pieces of words need more than keys and values; words
    /// without a letter or digit are not even counted. Attention's own products are left out.
    fn products(&self, tokens: u64, words: u64) -> f64 {
        let (width, inner) = (self.hidden_size as f64, self.intermediate_size as f64);
        let (projections, rest) = (3.0 * width * width, width * width + 2.0 * width * inner);
        let layers = self.num_hidden_layers as f64;
        tokens as f64 * (layers * projections + (layers - 1.0) * rest) + words as f64 * rest
    }
}

/// One thread's turns: products a second of the kernel and of the engine, words a second, and products a word.
struct Turn {
    /// While the other threads wait; 0 but on the first.
    alone: f64,
    kernel: f64,
    engine: f64,
    words: f64,
    products_a_word: f64,
}

/// How long the bare kernel runs in a turn.
const SLICE: Duration = Duration::from_millis(1500);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let Some(kernels) = Kernels::detect() else { bail!("this processor multiplies no bytes fast: there is no int8 to measure") };
    let threads = if arguments.threads == 0 { std::thread::available_parallelism()?.get() } else { arguments.threads };
    let texts = read(&arguments.data)?;
    let path = arguments.model.join("config.json");
    let shape: Shape = serde_json::from_slice(&std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?)?;
    let options = EngineOptions {
        model_directory: arguments.model.clone(),
        device: DeviceChoice::Cpu,
        precision: PrecisionChoice::Int8,
        batch_tokens: 0,
        threads_per_worker: 1,
    };
    let factory = TransformerFactory::load(&options)?;
    let barrier = Barrier::new(threads);
    let turns: Vec<Vec<Turn>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (factory, barrier, shape) = (&factory, &barrier, &shape);
                let texts: Vec<&str> = texts.iter().skip(thread).step_by(threads).map(String::as_str).collect();
                scope.spawn(move || {
                    let mut engine = factory.build()?;
                    engine.annotate(&texts[..texts.len().min(16)], &Progress::default())?;
                    (0..arguments.rounds).map(|_| turn(kernels, engine.as_mut(), &texts, shape, barrier, thread == 0)).collect()
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().expect("a thread of the benchmark panicked")).collect::<anyhow::Result<_>>()
    })?;
    let sum = |of: fn(&Turn) -> f64| -> Vec<f64> {
        (0..arguments.rounds).map(|round| turns.iter().map(|thread| of(&thread[round])).sum()).collect()
    };
    let (kernel, engine, words) = (sum(|turn| turn.kernel), sum(|turn| turn.engine), sum(|turn| turn.words));
    let alone = sum(|turn| turn.alone);
    let scaling: Vec<f64> = kernel.iter().zip(&alone).map(|(all, one)| all / one).collect();
    let shares: Vec<f64> = engine.iter().zip(&kernel).map(|(engine, kernel)| engine / kernel).collect();
    let products_a_word = turns[0][0].products_a_word;
    let report = serde_json::json!({
        "kernels": kernels.name(),
        "threads": threads,
        "share": median(&shares),
        "lowest_share": shares.iter().copied().fold(f64::INFINITY, f64::min),
        "highest_share": shares.iter().copied().fold(0.0, f64::max),
        "peak_products_per_second": median(&kernel),
        "peak_of_all_threads_over_one": median(&scaling),
        "engine_products_per_second": median(&engine),
        "engine_words_per_second": median(&words),
        "products_per_word": products_a_word,
        "words_per_second_at_peak": median(&kernel) / products_a_word,
    });
    println!("{report}");
    Ok(())
}

fn turn(
    kernels: Kernels,
    engine: &mut dyn NerEngine,
    texts: &[&str],
    shape: &Shape,
    barrier: &Barrier,
    first: bool,
) -> anyhow::Result<Turn> {
    barrier.wait();
    let alone = if first { bare_kernel(kernels, shape) } else { 0.0 };
    barrier.wait();
    let kernel = bare_kernel(kernels, shape);
    barrier.wait();
    let begin = Instant::now();
    let work = engine.annotate(texts, &Progress::default())?.work;
    let seconds = begin.elapsed().as_secs_f64();
    let products = shape.products(work.content_tokens, work.words);
    Ok(Turn {
        alone,
        kernel,
        engine: products / seconds,
        words: work.words as f64 / seconds,
        products_a_word: products / work.words as f64,
    })
}

/// Products a second of the kernel alone.
fn bare_kernel(kernels: Kernels, shape: &Shape) -> f64 {
    let mut product = Product::new(kernels, shape.intermediate_size, shape.hidden_size);
    let (begin, mut products) = (Instant::now(), 0);
    while begin.elapsed() < SLICE {
        for _ in 0..20 {
            product.compute(Activation::None);
            products += product.products();
        }
    }
    products as f64 / begin.elapsed().as_secs_f64()
}

fn read(path: &Path) -> anyhow::Result<Vec<String>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    BufReader::new(file).lines().map(|line| Ok(serde_json::from_str::<Article>(&line?)?.text)).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
