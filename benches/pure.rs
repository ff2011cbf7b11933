//! `cargo bench --bench pure`: time of the pure parts around the network, each on 40 kB of the sample articles.

mod cases;

use cases::Case;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn pure(criterion: &mut Criterion) {
    let case = Case::new();
    let mut group = criterion.benchmark_group("pure");
    group.throughput(Throughput::Bytes(case.text.len() as u64));
    group.bench_function("sentences", |bencher| bencher.iter(|| case.sentences()));
    group.bench_function("tokenizing", |bencher| bencher.iter(|| case.tokens()));
    group.bench_function("windows", |bencher| bencher.iter(|| case.windows()));
    group.bench_function("decoding", |bencher| bencher.iter(|| case.entities()));
    group.finish();
}

criterion_group!(benches, pure);
criterion_main!(benches);
