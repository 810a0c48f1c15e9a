//! Another component goes on with the state; one that cannot is given up by itself.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value as Json;

use crate::app::{App, operator, prebuilt};
use crate::command::eventflux;

const EVENTS: u64 = 2000;

/// Runs until half of the events are taken, and takes a checkpoint there.
fn run_half(app: &App) {
    let runtime = app.runtime();
    let stop = runtime.stop_handle();
    let summary = runtime
        .observe(move |progress| {
            if progress.events >= EVENTS / 2 {
                stop.stop();
            }
        })
        .start()
        .unwrap();
    assert!(!summary.finished && summary.events >= EVENTS / 2);
}

/// What the newest checkpoint says of the plugin of an operator.
fn plugin_of(app: &App, operator: &str) -> Json {
    let shown = eventflux().args(["inspect", "--json", "--state", operator]).arg(app.path("state")).output().unwrap();
    let shown: Json = serde_json::from_slice(&shown.stdout).unwrap();
    let rows = shown["states"].as_array().unwrap().iter().find(|state| state["name"] == operator).unwrap();
    let row = rows["rows"].as_array().unwrap().iter().find(|row| row["key"] == "plugin").unwrap();
    row["value"].clone()
}

/// The same code, and yet another component.
fn renamed(app: &App, plugin: &str) -> PathBuf {
    let mut bytes = fs::read(prebuilt(plugin)).unwrap();
    bytes.extend_from_slice(b"\0\x04\x03new");
    let path = app.path("renamed.wasm");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_new_version_goes_on_where_the_old_one_was() {
    let reference = App::new(EVENTS, &operator("count", "counter.wasm", ""));
    reference.run().unwrap();
    let app = App::new(EVENTS, &operator("count", "counter.wasm", ""));
    run_half(&app);
    assert_eq!(plugin_of(&app, "count")["version"], "1.0.0");
    app.define(&operator("count", "counter_v2.wasm", ""));
    assert!(app.run().unwrap().finished);
    assert_eq!(app.output(), reference.output());
    let plugin = plugin_of(&app, "count");
    assert_eq!((&plugin["version"], &plugin["schema_version"]), (&"2.0.0".into(), &2.into()));
}

#[test]
fn a_version_that_does_not_read_the_state_is_given_up() {
    let reference = App::new(EVENTS, &operator("count", "counter.wasm", ""));
    reference.run().unwrap();
    let app = App::new(EVENTS, &operator("count", "counter.wasm", ""));
    run_half(&app);
    app.define(&operator("count", "top_k.wasm", "config = { field = \"number\", k = 1, window_ms = 10 }"));
    let ran = eventflux().arg("run").arg(app.path("app.toml")).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.success(), "{said}");
    assert!(
        said.contains("its new plugin could not take over, so the one of the checkpoint goes on: it does not read the state's schema, `counter` version 1"),
        "{said}"
    );
    assert_eq!(app.output(), reference.output());
    assert_eq!(plugin_of(&app, "count")["name"], "counter");
}

/// It starts well, and fails before its first checkpoint: all it did is taken back.
#[test]
fn a_version_that_fails_before_its_first_checkpoint_is_given_up() {
    let good = "config = { behaviour = \"none\" }";
    let reference = App::new(EVENTS, &operator("count", "evil.wasm", good));
    reference.run().unwrap();
    let app = App::new(EVENTS, &operator("count", "evil.wasm", good));
    run_half(&app);
    let plugin = renamed(&app, "evil.wasm");
    app.define(&format!(
        "\n[[operator]]\nname = \"count\"\nplugin = {plugin:?}\nkey = [\"city\"]\nconfig = {{ behaviour = \"trap\", after = 30 }}\n"
    ));
    assert!(app.run().unwrap().finished);
    assert_eq!(app.output(), reference.output());
    let config = plugin_of(&app, "count")["config"].clone();
    assert_eq!(config, r#"{"behaviour":"none"}"#);
}

/// What was read of standard input is gone, so that the old one would miss it without a word.
#[test]
fn a_version_that_fails_on_standard_input_is_no_reason_to_lose_events() {
    let good = "config = { behaviour = \"none\" }";
    let reference = App::new(EVENTS, &operator("count", "evil.wasm", good));
    reference.run().unwrap();
    let app = App::new(EVENTS, &operator("count", "evil.wasm", good));
    run_half(&app);
    let shown = eventflux().args(["inspect", "--json"]).arg(app.path("state")).output().unwrap();
    let shown: Json = serde_json::from_slice(&shown.stdout).unwrap();
    let taken = shown["positions"]["source.line"].as_u64().unwrap() as usize;
    let rows = fs::read_to_string(app.path("in.csv")).unwrap();
    let header = rows.lines().take(1);
    let rest: String = header.chain(rows.lines().skip(taken)).map(|line| format!("{line}\n")).collect();
    let run = |plugin: &PathBuf, config: &str| {
        app.define(&format!("\n[[operator]]\nname = \"count\"\nplugin = {plugin:?}\nkey = [\"city\"]\n{config}\n"));
        let definition = fs::read_to_string(app.path("app.toml")).unwrap().replace("in.csv", "-");
        fs::write(app.path("app.toml"), definition).unwrap();
        let mut command = eventflux();
        command.arg("run").arg(app.path("app.toml")).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may end before it has read all.
        let _ = child.stdin.take().unwrap().write_all(rest.as_bytes());
        let ran = child.wait_with_output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let (code, said) = run(&renamed(&app, "evil.wasm"), "config = { behaviour = \"trap\", after = 30 }");
    assert_eq!(code, Some(1), "{said}");
    for part in ["the plugin of operator `count` has changed since checkpoint", "cannot be read again", "put its file"]
    {
        assert!(said.contains(part), "{said}");
    }
    // As advised.
    let (code, said) = run(&prebuilt("evil.wasm"), good);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(app.output(), reference.output());
}

/// What was printed cannot be taken back: nothing is printed twice without a word.
#[test]
fn a_version_that_fails_behind_standard_output_prints_nothing_twice() {
    let app = App::new(EVENTS, &operator("count", "evil.wasm", "config = { behaviour = \"none\" }"));
    run_half(&app);
    let plugin = renamed(&app, "evil.wasm");
    app.define(&format!(
        "\n[[operator]]\nname = \"count\"\nplugin = {plugin:?}\nkey = [\"city\"]\nconfig = {{ behaviour = \"trap\", after = 90 }}\n"
    ));
    let definition = fs::read_to_string(app.path("app.toml")).unwrap().replace("out.ndjson", "-");
    fs::write(app.path("app.toml"), definition).unwrap();
    let ran = eventflux().arg("run").arg(app.path("app.toml")).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    for part in ["the plugin of operator `count` has changed", "What was printed cannot be taken back", "put its file"]
    {
        assert!(said.contains(part), "{said}");
    }
}

/// After its first checkpoint there is no way back: it stops like any other.
#[test]
fn a_version_that_fails_later_stops() {
    let app = App::new(EVENTS, &operator("count", "evil.wasm", "config = { behaviour = \"none\" }"));
    run_half(&app);
    let plugin = renamed(&app, "evil.wasm");
    let define = |behaviour: &str| {
        app.define(&format!(
            "\n[[operator]]\nname = \"count\"\nplugin = {plugin:?}\nkey = [\"city\"]\nconfig = {{ behaviour = \"{behaviour}\" }}\n"
        ));
    };
    define("none");
    let half = app.runtime();
    let stop = half.stop_handle();
    let half = half.observe(move |progress| {
        if progress.events >= EVENTS / 2 + 300 {
            stop.stop();
        }
    });
    assert!(!half.start().unwrap().finished);
    define("trap");
    let text = app.run().unwrap_err().to_string();
    assert!(text.contains("it panicked"), "{text}");
    let config = plugin_of(&app, "count")["config"].clone();
    assert_eq!(config, r#"{"behaviour":"none"}"#);
}

#[test]
fn an_upgrade_is_told() {
    let app = App::new(EVENTS, &operator("count", "counter.wasm", ""));
    run_half(&app);
    app.define(&operator("count", "counter_v2.wasm", ""));
    let ran = eventflux().arg("run").arg(app.path("app.toml")).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    let component = |name: &str| eventflux::plugin::load(&prebuilt(name)).unwrap();
    let short = |name: &str| component(name).digest[..6].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let wanted = format!("its plugin {} goes on with the state of {}", short("counter_v2.wasm"), short("counter.wasm"));
    assert!(said.contains(&wanted), "{said}");
}
