//! Small applications with plugins, in directories of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use eventflux::plugin::Runtime;
use eventflux::{EventFluxManager, RunSummary};
use tempfile::TempDir;

/// One for all tests: each component is compiled once.
pub static PLUGINS: LazyLock<Runtime> = LazyLock::new(|| Runtime::without_cache().unwrap());

/// Where the example plugins are.
pub fn prebuilt(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wasm/plugin/prebuilt").join(name)
}

/// An application over generated events.
#[derive(Debug)]
pub struct App {
    pub directory: TempDir,
}

/// Source and checkpoints; operators are appended.
const HEAD: &str = r#"name = "plugged"

[source]
file = "in.csv"
timestamp = "at"
watermark_delay = "20ms"

[checkpoint]
storage = "file:state"
every_events = 100

[sink]
file = "out.ndjson"
"#;

impl App {
    /// So many events, and these operators.
    pub fn new(events: u64, operators: &str) -> Self {
        let app = App { directory: tempfile::tempdir().unwrap() };
        let mut rows = String::from("at,city,number\n");
        for event in 0..events {
            // Some come late, and cities come in no simple order.
            let at = event * 3 - (event % 7) * 2 % (event * 3 + 1);
            rows.push_str(&format!("{at},c{},{}\n", event * event % 11, event * 7 % 101));
        }
        fs::write(app.path("in.csv"), rows).unwrap();
        app.define(operators);
        app
    }

    pub fn define(&self, operators: &str) {
        fs::write(self.path("app.toml"), format!("{HEAD}{operators}")).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn runtime(&self) -> eventflux::Runtime {
        EventFluxManager::new().load(self.path("app.toml")).unwrap().with_plugins_in(PLUGINS.clone())
    }

    pub fn run(&self) -> eventflux::Result<RunSummary> {
        self.runtime().start()
    }

    pub fn output(&self) -> String {
        fs::read_to_string(self.path("out.ndjson")).unwrap()
    }
}

/// An operator that is one of the example plugins; `rest` are more lines of the definition.
pub fn operator(name: &str, plugin: &str, rest: &str) -> String {
    let plugin = prebuilt(plugin);
    format!("\n[[operator]]\nname = \"{name}\"\nplugin = {plugin:?}\nkey = [\"city\"]\n{rest}\n")
}
