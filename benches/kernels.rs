//! `cargo bench --bench kernels`: the kernels of the int8 network, each of the instruction sets that the processor has, in the
//! shapes of the bundled model: its four products, and the attention of one full window. An element is one multiplication.

mod product;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nerd::native::{Activation, Attention, Kernels, Scratch};
use product::{Product, numbers};

const WIDTH: usize = 384;
const INNER: usize = 4 * WIDTH;
const HEADS: usize = 12;
/// Pieces of a full window, its two marks included.
const LENGTH: usize = 128;

fn kernels(criterion: &mut Criterion) {
    let every = Kernels::every();
    if every.is_empty() {
        eprintln!("this processor multiplies no bytes fast: there are no kernels to measure");
    }
    for kernels in every {
        let mut group = criterion.benchmark_group(kernels.name());
        for (name, inner, outer, activation) in [
            ("projections", WIDTH, 3 * WIDTH, Activation::None),
            ("attention output", WIDTH, WIDTH, Activation::None),
            ("intermediate", WIDTH, INNER, Activation::Gelu),
            ("output", INNER, WIDTH, Activation::None),
        ] {
            let mut product = Product::new(kernels, inner, outer);
            group.throughput(Throughput::Elements(product.products() as u64));
            group.bench_function(name, |bencher| bencher.iter(|| product.compute(activation)));
        }
        let (projected, queries): (_, Vec<u32>) = (numbers(LENGTH * 3 * WIDTH), (0..LENGTH as u32).collect());
        let (mut scratch, mut out) = (Scratch::default(), vec![0.0; LENGTH * WIDTH]);
        group.throughput(Throughput::Elements((2 * LENGTH * LENGTH * WIDTH) as u64));
        group.bench_function("attention", |bencher| {
            bencher.iter(|| {
                let attention = Attention { projected: &projected, width: WIDTH, heads: HEADS, queries: &queries };
                kernels.attention(attention, &mut scratch, &mut out);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
