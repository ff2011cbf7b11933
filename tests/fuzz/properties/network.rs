//! Any texts through the real model.

use std::cell::RefCell;
use std::sync::LazyLock;

use nerd::domain::{DeviceChoice, Entity, PrecisionChoice};
use nerd::engine::{EngineFactory, EngineOptions, NerEngine, Progress, TransformerFactory};
use nerd::native::Kernels;

static FACTORY: LazyLock<TransformerFactory> = LazyLock::new(|| {
    // In both a text's result is the same in any batch to the bit; bf16 promises less.
    let precision = if Kernels::detect().is_some() { PrecisionChoice::Int8 } else { PrecisionChoice::F32 };
    let options = EngineOptions {
        model_directory: super::root().join("models/news-ner-fast"),
        device: DeviceChoice::Cpu,
        precision,
        batch_tokens: 512,
        threads_per_worker: 1,
    };
    TransformerFactory::load(&options).expect("the bundled model")
});

thread_local! {
    static ENGINE: RefCell<Box<dyn NerEngine>> = RefCell::new(FACTORY.build().expect("an engine"));
}

fn annotate(texts: &[&str]) -> Vec<Vec<Entity>> {
    let annotation = ENGINE.with_borrow_mut(|engine| engine.annotate(texts, &Progress::default())).expect("the call as a whole");
    assert_eq!(annotation.texts.len(), texts.len());
    annotation.texts.into_iter().map(|text| text.expect("every text is annotated")).collect()
}

/// A text's entities are slices of it and the same alone and among others. Returns how many entities there are.
pub fn alone_and_together_are_the_same(texts: &[String]) -> usize {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = annotate(&texts);
    for (text, entities) in texts.iter().zip(&together) {
        super::text::are_slices(text, entities);
        assert!(entities.iter().all(|entity| (0.0..=1.0).contains(&entity.score)), "scores are probabilities: {entities:?}");
        let alone = annotate(&[text]).remove(0);
        let spans = |entities: &[Entity]| entities.iter().map(|e| (e.start, e.end, e.label.to_string())).collect::<Vec<_>>();
        assert_eq!(spans(&alone), spans(entities), "alone and among {} texts: {text:?}", texts.len());
    }
    together.iter().map(Vec::len).sum()
}
