//! `cargo bench --bench store`: a claim and a completion by criterion, of the daemon's batch and of a large one, on the database
//! that the percentiles of `make bench-claim` are taken on. What a measurement leaves behind is put back outside of the time
//! taken: the queue keeps its length.

mod queue;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use nerd::domain::{AnnotatedArticle, ArticleId, Batch};
use nerd::store::postgres::PostgresStore;
use nerd::store::{ArticleStore, ClaimRequest};
use queue::{Host, Size, annotated, asked_for};
use tokio::runtime::{Builder, Runtime};

/// Articles of a batch: the daemon's default, and the large one that the promise names.
const BATCHES: [u32; 2] = [64, 500];
/// Entities of an article, as news has them.
const ENTITIES: usize = 15;

fn main() {
    if !asked_for() {
        return;
    }
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let host = runtime.block_on(async {
        let host = Host::ready(Size::from_environment()).await;
        host.warm().await;
        host
    });
    let store = runtime.block_on(async { host.store() });
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    measured(&mut criterion, &runtime, "claim", async |limit| {
        let (batch, spent) = claim(&store, limit).await;
        release(&store, &batch).await;
        spent
    });
    measured(&mut criterion, &runtime, "completion", async |limit| {
        let (batch, _) = claim(&store, limit).await;
        let annotated: Vec<AnnotatedArticle> =
            batch.articles.iter().enumerate().map(|(place, article)| annotated(article, place * 7, ENTITIES)).collect();
        let started = Instant::now();
        let completion = store.complete(batch.token, &queue::version(), &annotated).await.unwrap();
        let spent = started.elapsed();
        assert_eq!(completion.done.len(), batch.articles.len());
        host.again(&batch).await;
        spent
    });
    criterion.final_summary();
    host.stop();
}

/// Measures one round by criterion, for each size of batch; a round tells what of it is to be counted.
fn measured(criterion: &mut Criterion, runtime: &Runtime, name: &str, round: impl AsyncFn(u32) -> Duration) {
    let mut group = criterion.benchmark_group(name);
    for limit in BATCHES {
        group.throughput(Throughput::Elements(u64::from(limit)));
        group.bench_with_input(BenchmarkId::from_parameter(limit), &limit, |bencher, &limit| {
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let mut spent = Duration::ZERO;
                    for _ in 0..rounds {
                        spent += round(limit).await;
                    }
                    spent
                })
            });
        });
    }
    group.finish();
}

/// A whole batch and the seconds of its claim: one that is shorter (a small source had its turn, or the texts are very long) is
/// given back and not counted.
async fn claim(store: &PostgresStore, limit: u32) -> (Batch, Duration) {
    for _ in 0..16 {
        let started = Instant::now();
        let batch = store.claim(&ClaimRequest { limit, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap();
        let spent = started.elapsed();
        if batch.articles.len() == limit as usize {
            return (batch, spent);
        }
        release(store, &batch).await;
    }
    panic!("no claim of {limit} articles in 16: PENDING is too small");
}

async fn release(store: &PostgresStore, batch: &Batch) {
    let ids: Vec<ArticleId> = batch.articles.iter().map(|article| article.id.clone()).collect();
    store.release(batch.token, &ids).await.unwrap();
}
