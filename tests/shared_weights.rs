//! Alone in its process: what it measures is the process's memory.

mod support;

use std::path::Path;

use nerd::domain::{DeviceChoice, PrecisionChoice};
use nerd::engine::{EngineFactory, EngineOptions, Progress, TransformerFactory};
use nerd::memory::resident_bytes;
use support::articles::samples;

/// Four engines on four threads over one set of weights cost less than one more copy of it (90 MB in f32).
#[test]
fn engines_share_the_weights() {
    let factory = TransformerFactory::load(&EngineOptions {
        model_directory: Path::new(env!("CARGO_MANIFEST_DIR")).join("models/news-ner"),
        device: DeviceChoice::Cpu,
        precision: PrecisionChoice::F32,
        batch_tokens: 768,
        threads_per_worker: 1,
    })
    .unwrap();
    let text = &samples()[0].1;
    let annotate = || factory.build().unwrap().annotate(&[text], &Progress::default()).unwrap().texts;
    let expected = annotate();
    let before = resident_bytes();
    let barrier = std::sync::Barrier::new(5);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let engine = factory.build().unwrap();
                    barrier.wait();
                    barrier.wait();
                    drop(engine);
                    annotate()
                })
            })
            .collect();
        barrier.wait();
        let growth = resident_bytes().saturating_sub(before);
        barrier.wait();
        assert!(growth < 90 << 20, "four engines took {} MB", growth >> 20);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}
