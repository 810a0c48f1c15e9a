//! Redis servers for tests: on loopback, on free ports, in empty directories, gone with their owner.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use eventflux::storage::{Access, RedisAddress, RedisBackend};
use redis::{Connection, FromRedisValue, RedisResult};
use tempfile::TempDir;

/// A server that does not come up, or a state that does not come about, for so long: something hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Every write is on the disk before it is answered.
pub const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// One server.
#[derive(Debug)]
pub struct RedisServer {
    directory: TempDir,
    port: u16,
    options: Vec<String>,
    child: Child,
}

impl RedisServer {
    /// Starts one, with options as on its command line.
    pub fn start(options: &[&str]) -> Self {
        Self::start_at(|port, _| {
            let mut all = vec![String::from("--port"), port.to_string()];
            all.extend(options.iter().map(|option| option.to_string()));
            all
        })
    }

    /// Starts one with options that depend on the port and the directory.
    pub fn start_at(options: impl Fn(u16, &Path) -> Vec<String>) -> Self {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let port = free_port();
            let options = options(port, directory.path());
            let child = launch(directory.path(), &options);
            let mut server = RedisServer { directory, port, options, child };
            // Another process may have taken the port meanwhile.
            if server.wait_until_up() {
                return server;
            }
        }
        panic!("redis-server does not start; tests/run installs it");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its address, with options.
    pub fn url(&self, query: &str) -> String {
        format!("redis://127.0.0.1:{}/0?{query}", self.port)
    }

    pub fn open(&self, query: &str, access: Access) -> RedisBackend {
        open(&self.url(query), access).unwrap()
    }

    pub fn connection(&self) -> Connection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", self.port)).unwrap();
        let connection = client.get_connection_with_timeout(PATIENCE).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection
    }

    /// Runs a command, words separated by spaces.
    #[track_caller]
    pub fn command<T: FromRedisValue>(&self, command: &str) -> T {
        self.try_command(command).unwrap()
    }

    pub fn try_command<T: FromRedisValue>(&self, command: &str) -> RedisResult<T> {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        words.for_each(|word| _ = cmd.arg(word));
        cmd.query(&mut self.connection())
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.command("KEYS *");
        keys.sort_unstable();
        keys
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, in the same directory, with more options.
    pub fn start_again(&mut self, more: &[&str]) {
        let mut options = self.options.clone();
        options.extend(more.iter().map(|option| option.to_string()));
        let until = Instant::now() + PATIENCE;
        loop {
            self.child = launch(self.directory.path(), &options);
            if self.wait_until_up() {
                return;
            }
            // Its old connections may hold the port for a moment.
            assert!(Instant::now() < until, "redis-server does not start again: {}", self.log());
        }
    }

    /// `kill -STOP`.
    pub fn pause(&self) {
        signal(&self.child, "-STOP");
    }

    /// `kill -CONT`.
    pub fn resume(&self) {
        signal(&self.child, "-CONT");
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Whether it answers before it ends.
    fn wait_until_up(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        let tls_only = self.options.iter().any(|option| option == "--tls-port");
        loop {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if tls_only {
                if self.log().contains("Ready to accept connections") {
                    return true;
                }
            } else if self.process_id() == Some(self.child.id()) {
                return true;
            }
            assert!(Instant::now() < until, "redis-server does not come up: {}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The process that answers at the port.
    fn process_id(&self) -> Option<u32> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", self.port)).ok()?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(5)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        // Refused while it loads: not up yet.
        redis::cmd("PING").exec(&mut connection).ok().or(self.wants_password().then_some(()))?;
        if self.wants_password() {
            return Some(self.child.id());
        }
        let info: String = redis::cmd("INFO").arg("server").query(&mut connection).ok()?;
        info.lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok())
    }

    fn wants_password(&self) -> bool {
        self.options.iter().any(|option| option == "--requirepass")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // One that was stopped dies all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens a storage by its address.
pub fn open(url: &str, access: Access) -> eventflux::Result<RedisBackend> {
    RedisBackend::open(RedisAddress::parse(url, Path::new(""))?, access)
}

/// Three masters that make a cluster.
pub fn cluster() -> Vec<RedisServer> {
    let servers: Vec<RedisServer> = (0..3).map(|_| cluster_server()).collect();
    for (number, server) in servers.iter().enumerate() {
        let (from, to) = (16384 * number / 3, 16384 * (number + 1) / 3 - 1);
        server.command::<()>(&format!("CLUSTER ADDSLOTSRANGE {from} {to}"));
        server.command::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
        if number > 0 {
            meet(server, &servers[0]);
        }
    }
    wait_for(|| servers.iter().all(|server| server.command::<String>("CLUSTER INFO").contains("cluster_state:ok")));
    servers
}

/// A server that can be part of a cluster.
pub fn cluster_server() -> RedisServer {
    RedisServer::start_at(|port, _| {
        let bus = free_port().to_string();
        let port = port.to_string();
        let options = ["--port", &port, "--cluster-enabled", "yes", "--cluster-port", &bus];
        let timeouts = ["--cluster-node-timeout", "2000"];
        options.iter().chain(&timeouts).map(|option| option.to_string()).collect()
    })
}

/// Lets a server join the cluster of another.
pub fn meet(server: &RedisServer, other: &RedisServer) {
    let bus = server.options.iter().skip_while(|option| *option != "--cluster-port").nth(1).unwrap();
    other.command::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", server.port));
}

#[track_caller]
pub fn wait_for(mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "it does not come about");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Random numbers from a seed: the same moments each time, as far as that goes.
pub struct Random(pub u64);

impl Random {
    /// From 0 to less than `below`.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn launch(directory: &Path, options: &[String]) -> Child {
    let log: PathBuf = directory.join("log");
    let mut command = Command::new("redis-server");
    // A snapshot only where one is asked for.
    command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(directory).arg("--logfile").arg(log);
    command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is there; tests/run installs it")
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}
