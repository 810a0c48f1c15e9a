//! The example plugins: the same bytes in wasm as in this process, and the guest in C.

#[path = "../../../../wasm/plugin/examples/counter.rs"]
mod counter;
#[path = "../../../../wasm/plugin/examples/rate_limiter.rs"]
mod rate_limiter;
#[path = "../../../../wasm/plugin/examples/sessioniser.rs"]
mod sessioniser;
#[path = "../../../../wasm/plugin/examples/top_k.rs"]
mod top_k;

use eventflux_core::definition::PluginLimits;
use eventflux_core::plugin::{BatchWriter, Guest, GuestHome};
use eventflux_plugin::{Instance, Operator, Value};
use proptest::prelude::*;

use crate::app::{App, PLUGINS, operator, prebuilt};

/// Operator, file and configuration of each guest, and whether it has an input.
fn guests() -> Vec<(Box<dyn Operator>, &'static str, &'static str, usize)> {
    vec![
        (Box::new(counter::Counter), "counter.wasm", r#"{"field":"v"}"#, 1),
        (Box::<rate_limiter::RateLimiter>::default(), "rate_limiter.wasm", r#"{"per_second":100,"burst":3}"#, 0),
        (Box::<sessioniser::Sessioniser>::default(), "sessioniser.wasm", r#"{"gap_ms":20}"#, 0),
        (Box::<top_k::TopK>::default(), "top_k.wasm", r#"{"field":"v","k":2,"window_ms":50}"#, 1),
    ]
}

fn wasm(file: &str, config: &str) -> Box<dyn Guest> {
    let component = eventflux::plugin::load(&prebuilt(file)).unwrap();
    let mut guest = PLUGINS.home(PluginLimits::default()).start(&component, 0).unwrap();
    guest.init(config, 32 << 20).unwrap();
    guest
}

/// What of a stream is at hand: an event with its key and value, or a watermark.
type Item = (i64, u8, Option<i64>);

fn batch(items: &[Item], inputs: usize, watermark: i64) -> BatchWriter {
    let mut batch = BatchWriter::default();
    for (time, key, value) in items {
        let value = value.map_or(Value::Null, Value::from);
        batch.event(*time, &[1 + key % 2], [&value].into_iter().take(inputs));
    }
    batch.watermark(watermark);
    batch
}

fn frames(guest: &mut dyn Guest, epoch: u64, full: bool) -> Vec<Vec<u8>> {
    guest.checkpoint_begin(epoch, full).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = guest.checkpoint_next(4096).unwrap() {
        frames.push(frame);
    }
    guest.checkpoint_end(epoch, true).unwrap();
    frames
}

fn native_frames(instance: &mut Instance, epoch: u64, full: bool) -> Vec<Vec<u8>> {
    instance.checkpoint_begin(epoch, full).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = instance.checkpoint_next(4096).unwrap() {
        frames.push(frame);
    }
    instance.checkpoint_end(epoch, true).unwrap();
    frames
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(64), ..ProptestConfig::default() })]
    #[test]
    fn results_and_frames_are_those_of_this_process(
        batches in prop::collection::vec(
            prop::collection::vec((-20_i64..40, any::<u8>(), prop::option::of(-2_i64..4)), 0..30),
            1..5,
        ),
    ) {
        for (operator, file, config, inputs) in guests() {
            let mut native = Instance::new(operator);
            native.init(config, 32 << 20).unwrap();
            let mut guest = wasm(file, config);
            let mut all = Vec::new();
            for (at, items) in batches.iter().enumerate() {
                let start = at as i64 * 30;
                let items: Vec<Item> = items.iter().map(|(time, key, value)| (start + time, *key, *value)).collect();
                let batch = batch(&items, inputs, start);
                prop_assert_eq!(guest.process(batch.bytes()).unwrap(), native.process(batch.bytes()).unwrap(), "{}", file);
                let handed_out = frames(&mut *guest, at as u64 + 1, at == 0);
                prop_assert_eq!(&handed_out, &native_frames(&mut native, at as u64 + 1, at == 0), "{}", file);
                all.extend(handed_out);
            }
            // What was handed out in this process goes on in wasm.
            let mut restored = wasm(file, config);
            for frame in &all {
                restored.restore(frame).unwrap();
            }
            restored.restore_end().unwrap();
            let end = native.on_watermark(i64::MAX).unwrap();
            prop_assert_eq!(restored.on_watermark(i64::MAX).unwrap(), end, "{}", file);
        }
    }
}

/// Written from the description of the world alone, it gives what an aggregation gives.
#[test]
fn the_guest_in_c_sums_as_the_core_does() {
    let native =
        "\n[[operator]]\nname = \"sum\"\naggregate = { sum = \"sum number\" }\nemit = \"change\"\nkey = [\"city\"]\n";
    let app = App::new(1000, native);
    app.run().unwrap();
    let plugin = App::new(1000, &operator("sum", "running_sum.wasm", "config = { field = \"number\" }"));
    assert!(plugin.run().unwrap().finished);
    assert_eq!(plugin.output(), app.output());
}
