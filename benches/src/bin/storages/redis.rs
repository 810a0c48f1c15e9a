//! A durable checkpoint of 1 MB on Redis, over a plain `SET` of the same bytes.
//!
//! Both in turn, each over one connection of the same library to the same server. A checkpoint is durable once its
//! object is put and the head is swapped; then publishing deletes what retention no longer needs, which is told apart.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use eventflux::storage::{Access, RedisAddress, RedisBackend};
use eventflux_core::{
    Backend, ByteRange, CheckpointRequest, Compression, ObjectInfo, OpenWriter, Publish, Retention, StateHolder,
    Writer, drive,
};
use redis::{Connection, IntoConnectionInfo};

use super::{Result, middle};

const ROUNDS: usize = 300;
/// Values of a kilobyte that do not compress, written anew for each checkpoint.
const VALUES: u64 = 1000;
/// How the server makes writes durable, from the strictest on.
const SERVERS: [(&str, &[&str]); 3] = [
    ("appendfsync always", &["--appendonly", "yes", "--appendfsync", "always"]),
    ("appendfsync everysec", &["--appendonly", "yes", "--appendfsync", "everysec"]),
    ("no append-only file", &[]),
];

/// Measures and prints.
pub fn measure() -> Result<()> {
    println!(
        "| Redis on loopback, {ROUNDS} rounds | durable, p50 | p90 | and deleted, p50 | SET, p50 | p90 | durable / SET |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, options) in SERVERS {
        let directory = tempfile::tempdir()?;
        let server = Server::start(directory.path(), options)?;
        let url = format!("redis://127.0.0.1:{}/0?prefix=bench", server.port);
        let storage = RedisBackend::open(RedisAddress::parse(&url, Path::new(""))?, Access::Write)?;
        let samples = rounds(Timed { storage, swapped: None }, server.connect()?)?;
        let ((durable, durable_p90), (deleted, _)) = (middle(samples.durable), middle(samples.deleted));
        let (set, set_p90) = middle(samples.set);
        let milliseconds = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
        println!(
            "| {name}; {} bytes | {} | {} | {} | {} | {} | {:.2} |",
            samples.bytes,
            milliseconds(durable),
            milliseconds(durable_p90),
            milliseconds(deleted),
            milliseconds(set),
            milliseconds(set_p90),
            durable / set
        );
    }
    Ok(())
}

/// What was measured, in seconds.
#[derive(Default)]
struct Samples {
    /// Bytes of a checkpoint.
    bytes: usize,
    durable: Vec<f64>,
    deleted: Vec<f64>,
    set: Vec<f64>,
}

/// Notes when the head was swapped.
struct Timed {
    storage: RedisBackend,
    swapped: Option<Instant>,
}

impl Backend for Timed {
    fn put(&mut self, object: &str, bytes: &[u8]) -> eventflux_core::Result<()> {
        self.storage.put(object, bytes)
    }

    fn read(&mut self, object: &str, range: ByteRange) -> eventflux_core::Result<Option<Vec<u8>>> {
        self.storage.read(object, range)
    }

    fn list(&mut self) -> eventflux_core::Result<Vec<ObjectInfo>> {
        self.storage.list()
    }

    fn delete(&mut self, object: &str) -> eventflux_core::Result<()> {
        self.storage.delete(object)
    }

    fn read_head(&mut self) -> eventflux_core::Result<Option<Vec<u8>>> {
        self.storage.read_head()
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> eventflux_core::Result<bool> {
        let swapped = self.storage.swap_head(expected, new);
        self.swapped = Some(Instant::now());
        swapped
    }
}

fn rounds(mut storage: Timed, mut plain: Connection) -> Result<Samples> {
    let mut writer: Writer = drive(OpenWriter::new(), &mut storage)?;
    let mut holder = StateHolder::builder("bench").build()?;
    let mut samples = Samples::default();
    for round in 0..ROUNDS as u64 {
        for key in 0..VALUES {
            let seed = round * VALUES + key;
            let value: Vec<u64> =
                (0..128).map(|at| (seed * 128 + at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            holder.set(key.to_le_bytes(), &value.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        holder.begin(CheckpointRequest::default())?;
        let mut encoded = holder.take_capture()?.into_object(writer.next_object(), Compression::Lz4)?;
        let same = encoded.bytes().to_vec();
        samples.bytes = same.len();

        let started = Instant::now();
        drive(Publish::new(&mut writer, &mut encoded, Retention { max_retained: 3 })?, &mut storage)?;
        samples.deleted.push(started.elapsed().as_secs_f64());
        samples.durable.extend(storage.swapped.map(|swapped| (swapped - started).as_secs_f64()));
        holder.commit(&encoded)?;

        let started = Instant::now();
        redis::cmd("SET").arg("plain").arg(&same).exec(&mut plain)?;
        samples.set.push(started.elapsed().as_secs_f64());
    }
    Ok(samples)
}

/// A server that ends with its owner.
struct Server {
    port: u16,
    child: Child,
}

impl Server {
    fn start(directory: &Path, options: &[&str]) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"]).arg(directory);
        let child = command.args(options).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("cannot start redis-server: {error}; install it"))?;
        let server = Server { port, child };
        let until = Instant::now() + Duration::from_secs(30);
        while server.connect().is_err() {
            if Instant::now() > until {
                return Err("redis-server does not come up".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    fn connect(&self) -> Result<Connection> {
        // As the storage's: what is sent is sent at once.
        let settings = redis::io::tcp::TcpSettings::default().set_nodelay(true);
        let info = ("127.0.0.1", self.port).into_connection_info()?.set_tcp_settings(settings);
        Ok(redis::Client::open(info)?.get_connection()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
