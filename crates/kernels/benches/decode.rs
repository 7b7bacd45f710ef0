//! Attention of one new token a slot over the cache: its cost must grow with what is seen and not with the cache.
//! `cargo bench -p ruminate-kernels --bench decode`.

mod shapes;

use burn::tensor::Device;
use criterion::{Criterion, criterion_group, criterion_main};
use ruminate_kernels::{KeyValueRing, VisibleColumns, decode_attention, decode_latent_attention};
use shapes::{SMOLLM2, bench, floats, random};

fn grouped(criterion: &mut Criterion) {
    let device = Device::flex();
    let (slots, kv_heads, columns) = (32, 3, 2048);
    let (heads, width) = (SMOLLM2.heads, SMOLLM2.head_width);
    let q = random([slots, heads, width], &device);
    let [k, v] = [(); 2].map(|()| random([slots, kv_heads, width], &device));
    let mut ring = Some(KeyValueRing {
        keys: random([slots, kv_heads, width, columns], &device),
        values: random([slots, kv_heads, columns, width], &device),
    });
    let mut group = criterion.benchmark_group("decode attention");
    for seen in [32, 128, 512, 2048] {
        let latest = VisibleColumns::new(vec![(seen, 100); slots]);
        let read = floats(2 * slots * kv_heads * seen * width);
        bench(&mut group, "fused", &format!("SmolLM2 32 slots, {seen} of 2048 columns"), read, || {
            let held = ring.take().expect("given back below");
            let (out, held) = decode_attention(q.clone(), k.clone(), v.clone(), held, &latest, 0.125);
            ring = Some(held); // written in place, as a decoder does
            out
        });
    }
}

fn latents(criterion: &mut Criterion) {
    let device = Device::flex();
    let mut group = criterion.benchmark_group("decode latent attention");
    for (name, slots, heads, kept, rotary, columns) in
        [("default", 512, 4, 32, 16, 64), ("moe-27m", 32, 4, 64, 16, 512)]
    {
        let q = random([slots, heads, kept + rotary], &device);
        let new = random([slots, kept + rotary], &device);
        let mut cache = Some(random([slots, columns, kept + rotary], &device));
        let latest = VisibleColumns::new(vec![(columns, columns / 2); slots]);
        let read = floats(slots * columns * (kept + rotary));
        bench(&mut group, "fused", &format!("{name} {slots} slots, {columns} columns"), read, || {
            let held = cache.take().expect("given back below");
            let (out, held) = decode_latent_attention(q.clone(), new.clone(), held, kept, &latest, 0.15);
            cache = Some(held);
            out
        });
    }
}

criterion_group!(name = benches; config = shapes::short(); targets = grouped, latents);
criterion_main!(benches);
