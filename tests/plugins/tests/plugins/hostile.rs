//! Plugins that do at once what no library lets one do: modules of a few lines, written for each case.

use std::fs;
use std::time::Instant;

use eventflux_core::definition::PluginLimits;
use eventflux_core::plugin::{Component, GuestHome};

use crate::app::{App, PLUGINS};
use crate::misbehaviour::at_once;

/// Where a module has an answer of zeros, which is what most calls may give, and where it writes one of its own.
const ZEROS: u32 = 1024;
const ANSWER: u32 = 2048;
/// Where a text begins that is as long as the case likes, and what it begins with.
const TEXT: u32 = 1 << 20;
const ESCAPE: &str = "\\1b[31m";

/// Calls, with their parameters.
const CALLS: [(&str, &str); 10] = [
    ("operator@1.0.0#init", "i32 i32 i64"),
    ("operator@1.0.0#process", "i32 i32"),
    ("operator@1.0.0#on-watermark", "i64"),
    ("checkpointing@1.0.0#describe", ""),
    ("checkpointing@1.0.0#readable", ""),
    ("checkpointing@1.0.0#checkpoint-begin", "i64 i32"),
    ("checkpointing@1.0.0#checkpoint-next", "i32"),
    ("checkpointing@1.0.0#checkpoint-end", "i64 i32"),
    ("checkpointing@1.0.0#restore", "i32 i32"),
    ("checkpointing@1.0.0#restore-end", ""),
];

/// A plugin that gives nothing, but for one call, which runs this code and answers what is at [`ANSWER`] then.
fn plugin(call: &str, code: &str) -> Vec<u8> {
    plugin_with_memory(20, call, code)
}

/// As [`plugin`], with so many pages of memory.
fn plugin_with_memory(pages: u32, call: &str, code: &str) -> Vec<u8> {
    let functions = CALLS.map(|(name, parameters)| {
        let (code, answer) = if name.ends_with(&format!("#{call}")) { (code, ANSWER) } else { ("", ZEROS) };
        format!(
            "(func (export \"eventflux:plugin/{name}\") (param {parameters}) (result i32) {code} (i32.const {answer}))\n"
        )
    });
    let module = format!(
        "(module (memory (export \"memory\") {pages}) (global $count (mut i32) (i32.const 0))
           (data (i32.const {TEXT}) \"{ESCAPE}\")
           (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
           (func $spin (local $left i32) (local.set $left (i32.const 4000000))
             (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
           {})",
        functions.concat()
    );
    wat::parse_str(module).unwrap()
}

/// Code that puts numbers one behind the other at [`ANSWER`].
fn answer(words: &[u32]) -> String {
    let store = |(at, word): (u32, &u32)| format!("(i32.store (i32.const {}) (i32.const {word}))", ANSWER + 4 * at);
    (0..).zip(words).map(store).collect()
}

fn app(plugin: &[u8], rest: &str) -> App {
    let limits = "limits = { memory = \"128MiB\", state = \"1MiB\", time = \"30s\" }";
    let app = App::new(10, &format!("\n[[operator]]\nname = \"p\"\nplugin = \"p.wasm\"\n{limits}\n{rest}\n"));
    fs::write(app.path("p.wasm"), plugin).unwrap();
    app
}

#[test]
fn one_that_gives_nothing_is_a_plugin() {
    assert!(app(&plugin("", ""), "").run().unwrap().finished);
}

/// Each call is in time. Without a bound on all of them this one would take a dozen seconds, and one that goes on days.
#[test]
fn slow_frames_end_before_long() {
    let some = [0, 1, TEXT, 1];
    let next = format!(
        "(call $spin) (global.set $count (i32.add (global.get $count) (i32.const 1)))
         (if (i32.le_u (global.get $count) (i32.const 2000)) (then {}) (else {}))",
        answer(&some),
        answer(&[0, 0])
    );
    let restore = format!("(call $spin) {}", answer(&[0]));
    at_once(&[("checkpoint-next", next), ("restore", restore)], |(call, code)| {
        let file = tempfile::tempdir().unwrap();
        let path = file.path().join("p.wasm");
        fs::write(&path, plugin(call, code)).unwrap();
        let component: Component = eventflux::plugin::load(&path).unwrap();
        let limits = PluginLimits { memory_bytes: 128 << 20, time_ms: 200, ..PluginLimits::default() };
        let mut guest = PLUGINS.home(limits).start(&component, 0).unwrap();
        guest.init("{}", 1 << 20).unwrap();
        if *call == "checkpoint-next" {
            guest.checkpoint_begin(1, true).unwrap();
        }
        let began = Instant::now();
        let mut frame = || match *call {
            "restore" => guest.restore(b"frame").map(|()| true),
            _ => guest.checkpoint_next(4096).map(|frame| frame.is_some()),
        };
        let outcome = (0..2001).find_map(|_| match frame() {
            Ok(true) => None,
            outcome => Some(outcome),
        });
        let reason = outcome.expect("it goes on and on").unwrap_err().to_string();
        let wanted = "its frames take too long together, with a limit of 200 ms for each 262144 bytes";
        assert_eq!(reason, format!("`{call}`: {wanted}"), "after {:?}", began.elapsed());
    });
}

/// 60 MiB of zeros are twenty million results.
#[test]
fn results_without_number_cost_only_the_plugin() {
    let flood = plugin_with_memory(1200, "process", &answer(&[0, 2 << 20, 60 << 20]));
    let error = app(&flood, "").run().unwrap_err().to_string();
    assert!(error.contains("its results take more than 268435456 bytes of memory, 1048576 of them"), "{error}");
    let detached = app(&flood, "on_failure = \"detach\"").run().unwrap();
    assert!(detached.finished && detached.detached == ["p"]);
}
