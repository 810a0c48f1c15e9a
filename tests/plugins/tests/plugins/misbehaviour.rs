//! A plugin that loops, grows, traps, lies or hands back what it likes costs only itself.

use eventflux::{Error, Selector, StartFrom};

use crate::app::{App, operator};

const EVENTS: u64 = 1000;
/// An operator of the core and a good plugin, which no misbehaviour may touch.
const NATIVE: &str = "\n[[operator]]\nname = \"native\"\nwindow = { tumbling = \"50ms\" }\nkey = [\"city\"]\ncompute = { n = \"count\" }\n";

fn good() -> String {
    operator("good", "counter.wasm", "")
}

/// The limit of time is short only for what runs into it: all cases run at once, on a machine that may be busy besides.
fn evil(behaviour: &str, after: u64, on_failure: &str) -> String {
    let time = if behaviour == "slow" || behaviour.ends_with("loop") { "500ms" } else { "30s" };
    let rest = format!(
        "config = {{ behaviour = \"{behaviour}\", after = {after} }}\n\
         limits = {{ memory = \"16MiB\", time = \"{time}\" }}\non_failure = \"{on_failure}\""
    );
    operator("evil", "evil.wasm", &rest)
}

/// The lines of an output that are not the evil operator's.
fn of_others(output: &str) -> String {
    output.lines().filter(|line| !line.contains("\"operator\":\"evil\"")).map(|line| format!("{line}\n")).collect()
}

/// What a plugin cannot go on after.
const FAILURES: [&str; 19] = [
    "loop",
    "trap",
    "grow",
    "stack",
    "slow",
    "garbage",
    "lying-lengths",
    "wrong-item",
    "falling-items",
    "extra-value",
    "flood",
    "bad-event-lie",
    "state-limit",
    "internal",
    "begin-error",
    "frame-huge",
    "frames-endless",
    "frame-trap",
    "frame-loop",
];

/// Runs all cases at once: most of their time is waiting.
pub fn at_once<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| check(case));
        }
    });
}

/// After so many events of one instance: the next one, restored, has seen fewer.
#[test]
fn what_fails_now_and_then_is_restored_and_gives_the_same_results() {
    let wanted = App::new(EVENTS, &format!("{NATIVE}{}{}", evil("none", 0, "stop"), good()));
    wanted.run().unwrap();
    let wanted = wanted.output();
    let mut cases = FAILURES.to_vec();
    // What does no harm but once.
    cases.extend(["grow-and-go-on", "end-error"]);
    at_once(&cases, |behaviour| {
        let app = App::new(EVENTS, &format!("{NATIVE}{}{}", evil(behaviour, 250, "stop"), good()));
        let summary = app.run().unwrap_or_else(|error| panic!("{behaviour}: {error}"));
        assert!(summary.finished && summary.detached.is_empty(), "{behaviour}");
        assert!(app.output() == wanted, "{behaviour}: another output");
    });
}

#[test]
fn what_fails_for_good_is_detached_and_the_others_go_on() {
    let wanted = App::new(EVENTS, &format!("{NATIVE}{}", good()));
    wanted.run().unwrap();
    let wanted = wanted.output();
    at_once(&FAILURES, |behaviour| {
        let app = App::new(EVENTS, &format!("{NATIVE}{}{}", evil(behaviour, 0, "detach"), good()));
        let summary = app.run().unwrap_or_else(|error| panic!("{behaviour}: {error}"));
        assert!(summary.finished, "{behaviour}");
        assert_eq!(summary.detached, ["evil"], "{behaviour}");
        assert!(of_others(&app.output()) == wanted, "{behaviour}: the others have another output");
    });
}

#[test]
fn what_fails_for_good_stops_the_run_and_says_why() {
    let cases = [
        ("loop", "`process`: no answer within its limit of 500 ms"),
        ("trap", "`process`: it panicked (`unreachable`)"),
        ("grow", "it had asked for more memory than its limit of 16777216 bytes"),
        ("stack", "`process`: it trapped: wasm trap: out of bounds memory access"),
        ("garbage", "its results are garbage: "),
        ("wrong-item", "its results are garbage: a result of an item that was not in the batch"),
        ("bad-event-lie", "it refuses item 107 of a batch, which is no event"),
        ("state-limit", "`process`: its state is over its limit: so it says"),
        ("frame-huge", "it hands out a frame of 262145 bytes; at most 262144 were asked for"),
        ("frames-endless", "its frames take more than "),
        ("frame-loop", "`checkpoint-next`: no answer within its limit of 500 ms"),
    ];
    at_once(&cases, |(behaviour, reason)| {
        let app = App::new(EVENTS, &format!("{NATIVE}{}", evil(behaviour, 0, "stop")));
        let error = app.run().unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("operator `evil`: its plugin: ") && text.contains(reason), "{behaviour}: {text}");
        assert!(text.ends_with("stopped after 4 failures since its last checkpoint"), "{behaviour}: {text}");
        // Nothing is lost: without the plugin's misbehaviour the run goes on.
        app.define(&format!("{NATIVE}{}", evil("none", 0, "stop")));
        assert!(app.run().unwrap().finished, "{behaviour}");
    });
}

#[test]
fn what_does_not_start_stops_the_run_before_anything_happens() {
    let cases = [
        ("init-error", "`init`: config: so it says"),
        ("init-trap", "`init`: it panicked (`unreachable`)"),
        ("init-loop", "`init`: no answer within its limit of 500 ms"),
        ("dance", "`init`: config: `behaviour` is none that it has"),
    ];
    at_once(&cases, |(behaviour, reason)| {
        let app = App::new(10, &evil(behaviour, 0, "stop"));
        let text = app.run().unwrap_err().to_string();
        assert!(text.contains(reason), "{behaviour}: {text}");
        assert!(!app.path("state").exists() && !app.path("out.ndjson").exists(), "{behaviour}");
    });
}

/// Frames are stored as they are: that they are no good shows in a restore, which refuses them.
#[test]
fn frames_that_cannot_be_restored_stop_the_run() {
    let cases = [
        ("frame-garbage", "frame-garbage", "`restore`: a frame is corrupt"),
        ("none", "restore-error", "`restore`: a frame is corrupt: so it says"),
        ("none", "restore-trap", "`restore`: it panicked"),
        ("none", "restore-loop", "`restore`: no answer within its limit of 500 ms"),
        ("none", "restore-end-error", "`restore-end`: a frame is corrupt: so it says"),
    ];
    at_once(&cases, |(before, after, reason)| {
        let app = App::new(EVENTS, &format!("{NATIVE}{}", evil(before, 0, "stop")));
        let summary = app.run().unwrap();
        app.define(&format!("{NATIVE}{}", evil(after, 0, "stop")));
        let from = Selector::Id(summary.latest_checkpoint.unwrap() - 1);
        let text = app.runtime().start_from(StartFrom::Checkpoint(from)).start().unwrap_err().to_string();
        assert!(text.contains(reason), "{after}: {text}");
    });
}

/// Every checkpoint from there on has the frames: nothing but going on without the plugin helps.
#[test]
fn frames_that_cannot_be_restored_detach_a_plugin_that_may_be() {
    at_once(&["frame-garbage", "restore-trap"], |behaviour| {
        let app = App::new(EVENTS, &format!("{NATIVE}{}", evil(behaviour, 0, "detach")));
        let summary = app.run().unwrap();
        assert_eq!(summary.detached, Vec::<String>::new(), "{behaviour}");
        let from = Selector::Id(summary.latest_checkpoint.unwrap() - 1);
        let again = app.runtime().start_from(StartFrom::Checkpoint(from)).start().unwrap();
        assert_eq!((again.finished, again.detached), (true, vec![String::from("evil")]), "{behaviour}");
        assert_eq!(app.run().unwrap().detached, ["evil"], "{behaviour}: it stays so");
    });
}

/// A refused event is the input's fault, not the plugin's.
#[test]
fn an_event_that_a_plugin_refuses_is_named_by_its_line() {
    let app = App::new(EVENTS, &format!("{}{}", good(), evil("bad-event", 150, "stop")));
    let error = app.run().unwrap_err();
    assert!(matches!(error, Error::Event { line: 102, .. }), "{error}");
    let source = app.path("in.csv");
    assert_eq!(error.to_string(), format!("{}, line 102: operator `evil`: so it says", source.display()));
}
