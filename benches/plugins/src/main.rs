//! What a plugin costs: `benches/plugins/run`.
//!
//! Events of a keyed counter in batches of 256, over 1,000 and over 100,000 keys: the operator native, in wasm, and in
//! Extism, the same source in all three. Checkpoints and restores of 100,000 keys; the start of a cached component.
//! Each figure is the best of several rounds, all in turn, so that what else the machine does meets all alike.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eventflux::plugin::Runtime;
use eventflux_core::Value;
use eventflux_core::definition::PluginLimits;
use eventflux_core::plugin::{BatchWriter, Component, Guest, GuestHome};
use eventflux_plugin::Instance;

#[path = "../../../wasm/plugin/examples/counter.rs"]
mod counter;

const BATCH: usize = 256;
const KEYS: u64 = 100_000;
const ROUNDS: usize = 15;
const EVENTS: usize = 256 * 1000;
const BUDGET: u64 = 128 << 20;
const FRAME: u32 = 256 * 1024;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = here.join("../../wasm/plugin/prebuilt/counter.wasm");
    let component = eventflux::plugin::load(&file).expect("the counter is there");
    let extism_guest = std::env::args().nth(1).map(PathBuf::from);
    println!("| what | figure | bound |\n|---|---|---|");
    for keys in [1_000, KEYS] {
        events(&component, extism_guest.as_deref(), keys);
    }
    checkpoints(&component);
    start(&component);
    println!("| component size of the counter | {:.1} kB | 60 kB |", component.bytes.len() as f64 / 1e3);
}

fn limits() -> PluginLimits {
    PluginLimits { memory_bytes: 256 << 20, state_bytes: Some(BUDGET), time_ms: 60_000 }
}

fn wasm(component: &Component) -> Box<dyn Guest> {
    let runtime = Runtime::without_cache().expect("wasmtime runs here");
    let mut guest = runtime.home(limits()).start(component, 0).expect("it starts");
    guest.init("{}", BUDGET).expect("it takes its configuration");
    guest
}

fn native() -> Instance {
    let mut instance = Instance::new(Box::new(counter::Counter));
    instance.init("{}", BUDGET).expect("it takes its configuration");
    instance
}

/// Batches over so many keys, in an order that no cache foresees.
fn batches(keys: u64) -> Vec<Vec<u8>> {
    let mut number = 1_u64;
    let mut batches = Vec::new();
    for batch in 0..EVENTS / BATCH {
        let mut writer = BatchWriter::default();
        for event in 0..BATCH {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            writer.event((batch * BATCH + event) as i64, &key((number >> 33) % keys), std::iter::empty::<&Value>());
        }
        batches.push(writer.bytes().to_vec());
    }
    batches
}

fn key(number: u64) -> [u8; 9] {
    let mut key = [4; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn time(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn events(component: &Component, extism_guest: Option<&Path>, keys: u64) {
    let batches = batches(keys);
    let (mut native, mut wasm) = (native(), wasm(component));
    let mut extism = extism_guest.map(|file| {
        let manifest = extism::Manifest::new([extism::Wasm::data(std::fs::read(file).expect("the rival's guest is there"))]);
        let mut plugin = extism::Plugin::new(manifest, [], false).expect("Extism loads the guest");
        plugin.call::<&str, ()>("init", "{}").expect("it takes its configuration");
        plugin
    });
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(time(|| {
            for batch in &batches {
                std::hint::black_box(native.process(batch).expect("it takes events"));
            }
        }));
        best[1] = best[1].min(time(|| {
            for batch in &batches {
                std::hint::black_box(wasm.process(batch).expect("it takes events"));
            }
        }));
        if let Some(extism) = &mut extism {
            best[2] = best[2].min(time(|| {
                for batch in &batches {
                    std::hint::black_box(extism.call::<&[u8], Vec<u8>>("process", batch).expect("it takes events"));
                }
            }));
        }
    }
    let [native, wasm, other] = best.map(|best| best.as_nanos() as f64 / EVENTS as f64);
    println!("| event, {keys} keys: native | {native:.0} ns | |");
    println!("| event, {keys} keys: plugin | {wasm:.0} ns, {:.2}x native | 3x, 400 ns |", wasm / native);
    if extism.is_some() {
        println!("| event, {keys} keys: Extism, same guest | {other:.0} ns, {:.2}x native | |", other / native);
    }
}

fn frames(guest: &mut dyn Guest, epoch: u64, full: bool) -> Vec<Vec<u8>> {
    guest.checkpoint_begin(epoch, full).expect("it begins");
    let mut frames = Vec::new();
    while let Some(frame) = guest.checkpoint_next(FRAME).expect("it goes on") {
        frames.push(frame);
    }
    guest.checkpoint_end(epoch, true).expect("it ends");
    frames
}

fn checkpoints(component: &Component) {
    let mut guest = wasm(component);
    let mut fill = BatchWriter::default();
    (0..KEYS).for_each(|number| fill.event(0, &key(number), std::iter::empty::<&Value>()));
    guest.process(fill.bytes()).expect("it takes events");
    let mut epoch = 0;
    let (mut one, mut all, mut restore) = (Duration::MAX, Duration::MAX, Duration::MAX);
    for round in 0..ROUNDS as u64 * 20 {
        if round % 20 == 0 {
            epoch += 1;
            let mut whole = Vec::new();
            all = all.min(time(|| whole = frames(&mut *guest, epoch, true)));
            let mut other = wasm(component);
            restore = restore.min(time(|| {
                whole.iter().for_each(|frame| other.restore(frame).expect("it takes frames"));
                other.restore_end().expect("it is whole");
            }));
        }
        let mut change = BatchWriter::default();
        change.event(0, &key(round * 317 % KEYS), std::iter::empty::<&Value>());
        guest.process(change.bytes()).expect("it takes events");
        epoch += 1;
        one = one.min(time(|| drop(frames(&mut *guest, epoch, false))));
    }
    println!("| checkpoint of 1 of 100,000 keys | {:.1} µs | 10 µs |", one.as_nanos() as f64 / 1e3);
    println!("| checkpoint of all | {:.1} ms | 15 ms |", all.as_secs_f64() * 1e3);
    println!("| restore of all | {:.1} ms | 60 ms |", restore.as_secs_f64() * 1e3);
}

/// From a process that has compiled nothing to a configured instance; the runtime itself is there.
fn start(component: &Component) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let begin = || {
        let runtime = Runtime::with_cache_in(directory.path()).expect("wasmtime runs here");
        let took = time(|| {
            let mut guest = runtime.home(limits()).start(component, 0).expect("it starts");
            guest.init("{}", BUDGET).expect("it takes its configuration");
        });
        took.as_secs_f64() * 1e3
    };
    let first = begin();
    let best = (0..ROUNDS).map(|_| begin()).fold(f64::MAX, f64::min);
    println!("| start of a component: compiled | {first:.1} ms | |");
    println!("| start of a component: cached | {best:.2} ms | 2 ms |");
}
