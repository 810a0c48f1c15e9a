//! A durable checkpoint of 1 MB on Redis, over a plain `SET` of the same bytes.
//!
//! Both in turn, each over one connection of the same library to the same server. A checkpoint is all that publishing
//! does: the object, the head, and deleting what retention no longer needs.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use eventflux::storage::{Access, RedisAddress, RedisBackend};
use eventflux_core::{CheckpointRequest, Compression, OpenWriter, Publish, Retention, StateHolder, Writer, drive};
use redis::Connection;

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
    println!("| Redis on loopback | checkpoint | p50 | p90 | plain SET, p50 | p90 | ratio of p50 |");
    println!("|---|---|---|---|---|---|---|");
    for (name, options) in SERVERS {
        let directory = tempfile::tempdir()?;
        let server = Server::start(directory.path(), options)?;
        let url = format!("redis://127.0.0.1:{}/0?prefix=bench", server.port);
        let storage = RedisBackend::open(RedisAddress::parse(&url, Path::new(""))?, Access::Write)?;
        let (bytes, checkpoints, sets) = rounds(storage, server.connect()?)?;
        let ((checkpoint, checkpoint_p90), (set, set_p90)) = (middle(checkpoints), middle(sets));
        println!(
            "| {name} | {bytes} bytes | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} |",
            checkpoint * 1e3,
            checkpoint_p90 * 1e3,
            set * 1e3,
            set_p90 * 1e3,
            checkpoint / set
        );
    }
    Ok(())
}

/// Bytes of a checkpoint; seconds of each checkpoint and of each `SET`.
fn rounds(mut storage: RedisBackend, mut plain: Connection) -> Result<(usize, Vec<f64>, Vec<f64>)> {
    let mut writer: Writer = drive(OpenWriter::new(), &mut storage)?;
    let mut holder = StateHolder::builder("bench").build()?;
    let (mut bytes, mut checkpoints, mut sets) = (0, Vec::new(), Vec::new());
    for round in 0..ROUNDS as u64 {
        for key in 0..VALUES {
            let seed = round * VALUES + key;
            let value: Vec<u64> =
                (0..128).map(|at| (seed * 128 + at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            holder.set(key.to_le_bytes(), &value.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        holder.begin(CheckpointRequest::default())?;
        let mut encoded = holder.take_capture()?.into_object(writer.next_object(), Compression::Lz4)?;
        let same = encoded.bytes()[..encoded.bytes().len().min(1_000_000)].to_vec();
        bytes = encoded.bytes().len();

        let started = Instant::now();
        drive(Publish::new(&mut writer, &mut encoded, Retention { max_retained: 3 })?, &mut storage)?;
        checkpoints.push(started.elapsed().as_secs_f64());
        holder.commit(&encoded)?;

        let started = Instant::now();
        redis::cmd("SET").arg("plain").arg(&same).exec(&mut plain)?;
        sets.push(started.elapsed().as_secs_f64());
    }
    Ok((bytes, checkpoints, sets))
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
        Ok(redis::Client::open(("127.0.0.1", self.port))?.get_connection()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
