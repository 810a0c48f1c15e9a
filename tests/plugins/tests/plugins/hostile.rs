//! Plugins that do at once what no library lets one do: modules of a few lines, written for each case.

use std::fs;
use std::time::Instant;

use eventflux_core::definition::PluginLimits;
use eventflux_core::plugin::{Component, GuestError, GuestHome};

use crate::app::{App, PLUGINS};
use crate::command::eventflux;
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
           (func $spin (local $left i32) (local.set $left (i32.const 12000000))
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

/// Code that makes the text at [`TEXT`] so long.
fn text(length: u32) -> String {
    let rest = TEXT + 5;
    format!("(memory.fill (i32.const {rest}) (i32.const 120) (i32.const {}))", length - 5)
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

/// Each call is in time. Without a bound on all of them this one would take minutes, and one that goes on days.
#[test]
fn slow_frames_end_before_long() {
    let some = [0, 1, TEXT, 1];
    let next = format!(
        "(call $spin) (global.set $count (i32.add (global.get $count) (i32.const 1)))
         (if (i32.le_u (global.get $count) (i32.const 20000)) (then {}) (else {}))",
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
        let outcome = (0..20_001).find_map(|_| match frame() {
            Ok(true) => None,
            outcome => Some(outcome),
        });
        let reason = outcome.expect("it goes on and on").unwrap_err().to_string();
        let wanted =
            "its frames take too long together, with a limit of 200 ms for each 262144 bytes; raise `limits.time`";
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

/// What is told of a plugin, and stored, is in its own words, but not what these do to a terminal, nor all of them.
#[test]
fn words_of_a_plugin_are_one_line_and_not_too_long() {
    let long = text(100_000);
    // Errors: number of the variant, then the text; `bad-event` has the number of an item before that.
    let cases = [("init", 0), ("process", 2), ("checkpoint-begin", 6), ("checkpoint-next", 6)];
    at_once(&cases, |(call, variant)| {
        let words = answer(&[1, *variant, TEXT, 100_000]);
        let said = app(&plugin(call, &format!("{long} {words}")), "").run().unwrap_err().to_string();
        assert!(said.contains("\\u{1b}[31mxxx") && said.contains("xxx…"), "{call}: {said}");
        assert!(!said.contains('\x1b') && said.len() < 1500, "{call}: {} bytes", said.len());
    });
    let bad_event = plugin("process", &format!("{long} {}", answer(&[1, 1, 0, TEXT, 100_000])));
    let app_of_bad_event = app(&bad_event, "");
    let said = app_of_bad_event.run().unwrap_err().to_string();
    let place = format!("{}, line 2: operator `p`: \\u{{1b}}[31mxxx", app_of_bad_event.path("in.csv").display());
    assert!(said.starts_with(&place), "{said}");
    assert!(!said.contains('\x1b') && said.len() < 1500, "{} bytes", said.len());

    // In the log, and in the state of one that is detached.
    let detached =
        app(&plugin("process", &format!("{long} {}", answer(&[1, 2, TEXT, 100_000]))), "on_failure = \"detach\"");
    let output = eventflux().arg("run").arg(detached.path("app.toml")).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains("\\u{1b}[31mxxx") && !said.contains('\x1b') && said.len() < 20_000, "{said}");
    let output = eventflux().args(["inspect", "--json"]).arg(detached.path("state")).output().unwrap();
    assert!(output.status.success() && output.stdout.len() < 20_000, "{} bytes", output.stdout.len());
}

/// Names are stored with each checkpoint.
#[test]
fn names_that_a_plugin_gives_are_bounded() {
    let (short, long) = (text(10), text(2000));
    let named = |length| [TEXT + 5, length, 0, 0, 0, 0, 0];
    let cases = [
        ("describe", long.clone() + &answer(&named(1025)), "`describe`: its name has 1025 bytes; at most 1024"),
        ("describe", short.clone() + &answer(&[0, 0, TEXT, 9]), "`describe`: its version has control characters"),
        (
            "describe",
            long.clone() + &answer(&[0, 0, 0, 0, TEXT, 1025]),
            "`describe`: the name of its schema has 1025 bytes; at most 1024",
        ),
        // A setup: a list of inputs, of outputs, and whether it wants watermarks. The list is at TEXT - 64.
        (
            "init",
            long.clone() + &list(1025) + &answer(&[0, TEXT - 64, 1]),
            "`init`: the name of an input has 1025 bytes; at most 1024",
        ),
        (
            "init",
            short.clone() + &list(9) + &answer(&[0, 0, 0, TEXT - 64, 1]),
            "`init`: the name of an output has control characters",
        ),
    ];
    at_once(&cases, |(call, code, reason)| {
        let error = app(&plugin(call, code), "").run().unwrap_err().to_string();
        assert!(error.contains(reason), "{call}: {error}");
    });
    assert!(app(&plugin("describe", &(long + &answer(&named(1024)))), "").run().unwrap().finished);

    // `plugin check` asks it too.
    let directory = tempfile::tempdir().unwrap();
    let check = |code: &str| {
        let file = directory.path().join("p.wasm");
        fs::write(&file, plugin("describe", code)).unwrap();
        let output = eventflux().args(["plugin", "check"]).arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = check(&(short + &answer(&[TEXT, 9])));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("`describe`: its name has control characters") && !said.contains('\x1b'), "{said}");
    assert_eq!(check("").0, Some(0));
}

/// Code that makes a list of one text at `TEXT - 64`.
fn list(length: u32) -> String {
    let (at, text_length) = (TEXT - 64, TEXT - 60);
    format!(
        "(i32.store (i32.const {at}) (i32.const {TEXT})) (i32.store (i32.const {text_length}) (i32.const {length}))"
    )
}

/// As much as is documented, a quarter of a gigabyte at least, and no more.
#[test]
fn results_are_taken_up_to_their_bound() {
    let results = |mib: u32| {
        let file = tempfile::tempdir().unwrap();
        let path = file.path().join("p.wasm");
        fs::write(&path, plugin_with_memory(4800, "process", &answer(&[0, 2 << 20, mib << 20]))).unwrap();
        let limits = PluginLimits { memory_bytes: 320 << 20, time_ms: 10_000, ..PluginLimits::default() };
        let limits = PluginLimits { state_bytes: Some(1 << 20), ..limits };
        let mut guest = PLUGINS.home(limits).start(&eventflux::plugin::load(&path).unwrap(), 0).unwrap();
        guest.init("{}", 1 << 20).unwrap();
        guest.process(b"").map(|bytes| bytes.len() >> 20)
    };
    assert_eq!(results(250).unwrap(), 250);
    assert!(matches!(results(257), Err(GuestError::Lost(_))));
}
