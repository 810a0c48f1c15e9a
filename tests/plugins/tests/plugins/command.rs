//! The command with plugins: what it says of a file, its cache, and `kill -9` wherever.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::app::{App, PLUGINS, operator, prebuilt};

/// Compiled components of all commands.
static CACHE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// The command, built with plugins.
pub fn eventflux() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eventflux-with-plugins"));
    command.env("EVENTFLUX_PLUGIN_CACHE", CACHE.path());
    command
}

fn check(file: &Path) -> (i32, Json, String) {
    let output = |arguments: &[&str]| eventflux().args(["plugin", "check"]).args(arguments).arg(file).output().unwrap();
    let (json, text) = (output(&["--json"]), output(&[]));
    assert_eq!(json.status.code(), text.status.code());
    let said = String::from_utf8([text.stdout, text.stderr].concat()).unwrap();
    (text.status.code().unwrap(), serde_json::from_slice(&json.stdout).unwrap_or(Json::Null), said)
}

#[test]
fn check_says_what_a_plugin_is() {
    let (code, json, text) = check(&prebuilt("counter_v2.wasm"));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("The world fits"), "{text}");
    assert_eq!((&json["fits"], &json["is_module"]), (&true.into(), &true.into()));
    assert_eq!((&json["name"], &json["version"]), (&"counter".into(), &"2.0.0".into()));
    assert_eq!(json["imports"].as_array().unwrap().len(), 0);
    assert_eq!(json["exports"].as_array().unwrap().len(), 10, "{json}");
    assert_eq!(json["readable"].as_array().unwrap().len(), 2, "{json}");
}

/// A component is as good as the module it was made from.
#[test]
fn components_and_modules_are_accepted() {
    let module = eventflux::plugin::load(&prebuilt("counter.wasm")).unwrap();
    let component = PLUGINS.to_component(&module).unwrap();
    let app = App::new(500, &operator("count", "counter.wasm", ""));
    app.run().unwrap();
    let of_component = App::new(500, "");
    let file = of_component.path("component.wasm");
    fs::write(&file, component).unwrap();
    of_component.define("\n[[operator]]\nname = \"count\"\nplugin = \"component.wasm\"\nkey = [\"city\"]\n");
    of_component.run().unwrap();
    assert_eq!(of_component.output(), app.output());
    let (code, json, _) = check(&file);
    assert_eq!((code, &json["is_module"]), (0, &false.into()));
}

#[test]
fn what_does_not_fit_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let with_import = wat::parse_str(r#"(component (import "clock" (func)))"#).unwrap();
    let empty_module = wat::parse_str("(module)").unwrap();
    let empty_component = wat::parse_str("(component)").unwrap();
    let mut truncated = fs::read(prebuilt("counter.wasm")).unwrap();
    truncated.truncate(5000);
    for (file, code, reason) in [
        (write("import.wasm", &with_import), 1, "it imports `clock`; a plugin imports nothing"),
        (write("module.wasm", &empty_module), 1, "the module does not have the exports of the world"),
        (write("component.wasm", &empty_component), 1, "the world does not fit"),
        (write("truncated.wasm", &truncated), 1, "it is no valid module"),
        (
            write("text.wat", b"(module)"),
            2,
            "is no WebAssembly: neither a component nor a module; a text has to be assembled first",
        ),
        (write("empty.wasm", b""), 2, "is no WebAssembly"),
        (directory.path().join("nowhere.wasm"), 1, "cannot read"),
    ] {
        let (found, _, text) = check(&file);
        assert_eq!(found, code, "{text}");
        assert!(text.contains(reason), "{text}");
        // A run says the same, and leaves no trace.
        let app = App::new(10, &format!("\n[[operator]]\nname = \"p\"\nplugin = {file:?}\n"));
        let error = app.run().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(!app.path("state").exists());
    }
}

#[test]
fn what_a_plugin_asks_of_the_stream_must_be_there() {
    let app = App::new(10, &operator("count", "counter.wasm", "config = { field = \"nmuber\" }"));
    let error = app.run().unwrap_err().to_string();
    assert_eq!(
        error,
        "operator `count`: its plugin: it wants the field `nmuber`, which the source does not have; did you mean `number`?"
    );
}

/// A fresh start would cut it off at its beginning.
#[test]
fn an_output_is_not_written_over_a_plugin() {
    let app = App::new(50, "");
    let file = app.path("count.wasm");
    fs::copy(prebuilt("counter.wasm"), &file).unwrap();
    let before = fs::read(&file).unwrap();
    let operators = format!(
        "{}\n[[operator]]\nname = \"count\"\nplugin = \"./count.wasm\"\n",
        operator("good", "counter.wasm", "")
    );
    app.define(&operators);
    let definition = fs::read_to_string(app.path("app.toml")).unwrap();
    fs::write(app.path("app.toml"), definition.replace("out.ndjson", "count.wasm")).unwrap();
    for from in [&["--from", "none"][..], &[]] {
        let output = eventflux().arg("run").args(from).arg(app.path("app.toml")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("is the plugin of operator `count`; name another `file` under [sink]"), "{said}");
        assert!(fs::read(&file).unwrap() == before && !app.path("state").exists());
    }
}

/// What a finished run went on without is told each time it is started again: nothing of it has been repeated.
#[test]
fn a_run_that_went_on_without_a_plugin_is_no_success_the_second_time() {
    let evil = "config = { behaviour = \"trap\" }\non_failure = \"detach\"";
    let app = App::new(500, &(operator("count", "counter.wasm", "") + &operator("evil", "evil.wasm", evil)));
    let run = || {
        let output = eventflux().arg("run").arg(app.path("app.toml")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (start, says) in [("first", "began at"), ("second", "the source is finished, nothing was done")] {
        let (code, said) = run();
        assert_eq!(code, Some(1), "{start}: {said}");
        assert!(
            said.contains(says) && said.contains("went on without") && said.contains("evil: the plugin failed"),
            "{said}"
        );
    }
    let summary = app.run().unwrap();
    assert!(summary.already_finished);
    assert_eq!(summary.detached, ["evil"]);
}

fn cached(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[cfg(unix)]
#[test]
fn compiled_components_are_kept_in_a_directory_of_the_users_own() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let app = App::new(50, &operator("count", "counter.wasm", ""));
    let run = |from: &str| {
        let output = eventflux()
            .env("EVENTFLUX_PLUGIN_CACHE", &cache)
            .args(["run", "--from", from])
            .arg(app.path("app.toml"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    run("none");
    let files = cached(&cache);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    // Damaged, it is compiled anew.
    let good = fs::read(&files[0]).unwrap();
    let mut bad = good.clone();
    bad[1000] ^= 1;
    fs::write(&files[0], bad).unwrap();
    run("none");
    assert!(fs::read(&files[0]).unwrap() == good);
    // Where others can write, nothing is kept, nothing is loaded, and it works all the same.
    fs::remove_file(&files[0]).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let said = run("none");
    assert!(said.contains("compiled plugins are not kept") && said.contains("chmod go-w"), "{said}");
    assert!(cached(&cache).is_empty());
}

/// Every plugin with state, killed at random moments: the finished output is that of a run never interrupted.
#[cfg(unix)]
#[test]
fn killed_anywhere_the_output_is_the_same() {
    const KILLS: u64 = 100;
    const EVENTS: u64 = 1500;
    let operators = [
        operator("count", "counter.wasm", ""),
        operator("limit", "rate_limiter.wasm", "config = { per_second = 20, burst = 2 }"),
        operator("top", "top_k.wasm", "config = { field = \"number\", k = 2, window_ms = 200 }"),
        operator("sessions", "sessioniser.wasm", "config = { gap_ms = 40 }"),
        operator("sum", "running_sum.wasm", "config = { field = \"number\" }"),
    ]
    .concat();
    let reference = App::new(EVENTS, &operators);
    let run = |app: &App| {
        let mut command = eventflux();
        command.args(["run", "--quiet"]).arg(app.path("app.toml")).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(run(&reference).status().unwrap().success());
    // Now all is compiled: how long it takes.
    let timed = App::new(EVENTS, &operators);
    let started = Instant::now();
    assert!(run(&timed).status().unwrap().success());
    let time = started.elapsed();

    let (mut kills, mut finishes, mut random) = (0, 0, 1_u64);
    let mut app = App::new(EVENTS, &operators);
    while kills < KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = run(&app).spawn().unwrap();
        std::thread::sleep(time.mul_f64((random >> 40) as f64 / (1 << 24) as f64 * 0.6) + Duration::from_millis(1));
        let _ = child.kill();
        if !child.wait().unwrap().success() {
            kills += 1;
            continue;
        }
        assert!(app.output() == reference.output(), "another output after {kills} kills");
        finishes += 1;
        app = App::new(EVENTS, &operators);
    }
    assert!(run(&app).status().unwrap().success());
    assert!(app.output() == reference.output(), "another output after {kills} kills");
    println!("{kills} kills, {finishes} runs finished on the way");
}
