//! A storage on Redis: one server, or a cluster of them.
//!
//! | key | what |
//! |---|---|
//! | `{PREFIX}:head` | hash: `record`, the head; `token` and number (`swaps`) of the last swap |
//! | `{PREFIX}:objects` | hash, the index: name of each object → `LENGTH:CHUNK`, in bytes |
//! | `{PREFIX}:object:NAME:N` | bytes of an object from `N · CHUNK` on |
//! | `{PREFIX}:pending` | hash, as the index: objects being written in more than one part |
//!
//! Invariants:
//! - An object is there once the index names it, which is the last step of writing it; nothing lists keys. One chunk
//!   goes with its entry in one transaction. Several are named in `pending` first, each in one transaction with its
//!   bytes, so that whatever a dead writer leaves is found, and removed by the next one that opens.
//! - Publishing and fencing are one script: it compares the head as a whole, generation and parent with it, and sets
//!   it. No two heads of a storage are the same bytes, since the generation rises with each writer and the number of
//!   the next checkpoint with each checkpoint: what is equal has not changed meanwhile.
//! - Two writers that open at the same moment do ask for the same head. So a swap has a token of its own, by which a
//!   writer whose answer was lost tells its own swap from another's, and does nothing twice.
//! - Before the head is set, the script looks whether every object put since the last swap is there, whole: what a
//!   server lost between (a replica was promoted, a crash without the append-only file) cannot become part of a head.
//! - Swaps are counted. A head with a lower count than this writer has reached is one that went back, which is an error
//!   that says so. What a promoted replica has is what the master had some time ago: a head of then, and all it needs.
//! - With `expire` every key of the job ends at one time, set for all of them in the script that publishes; what is
//!   written between gets the same time. No part outlives another.
//! - Passwords are in no message, and the address without them is in each.

mod address;
mod entry;
mod failure;
mod link;
mod ours;
mod scripts;
mod server;
mod transaction;

pub use address::RedisAddress;
pub use server::{RedisDurability, RedisPersistence};

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use eventflux_core::{Backend, ByteRange, Error as CoreError, ObjectInfo};
use redis::{Cmd, Connection, FromRedisValue, RedisResult, cmd};

use self::entry::{Entry, check_name, chunk_missing, wrong_entry};
use self::failure::storage_error;
use self::link::Link;
use self::scripts::{Job, Swap};
use self::transaction::Transaction;
use super::{Access, check_writer};
use crate::error::{Error, Result};

/// The head, in errors.
const HEAD: &str = "head";
/// Outcomes of the script that swaps the head.
const SWAPPED: i64 = 1;
const OBJECT_GONE: i64 = -1;
/// Attempts to write an object in parts, when another writer takes what is unfinished for left behind.
const PUT_ATTEMPTS: u32 = 3;
/// How long opening waits for the connection of a writer that just ended to be gone from the server.
const WRITER_GONE_WAIT: Duration = Duration::from_secs(1);

/// A storage on Redis (6.2 or newer, or what speaks like it), with the feature `redis`.
///
/// # Address
///
/// `redis://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE&…`; all but the host may be left out. `rediss://` is TLS. Of
/// several hosts, separated by commas, the one that is a master is used, and another one when it fails; if two of them
/// say that they are, opening for writing is refused. Characters that mean something in an address are written as
/// %-escapes. A server that hangs is given up after `retries` more attempts, each of which takes `timeout`; before it was
/// first reached, after three at most. Of several hosts an attempt is one at each of them.
///
/// | option | meaning | else |
/// |---|---|---|
/// | `prefix=flights` | the job: keys begin with `{flights}:`. Letters, digits and `-_.:/` | `eventflux` |
/// | `chunk=1MiB` | bytes under one key, 1KiB to 8MiB | 8MiB |
/// | `expire=7d` | the job ends so long after its last checkpoint, all of it; each checkpoint touches every key | never |
/// | `wait=1` | so many replicas must have every write before it counts (`WAIT`); fewer are an error | 0 |
/// | `wait_timeout=500ms` | how long to wait for them | 1s |
/// | `connect_timeout=5s`, `timeout=30s` | for connecting, for each answer | as here |
/// | `retries=10`, `backoff=50ms`, `backoff_max=5s` | how often to try again; pauses double from one to the other | as here |
/// | `cluster=true` | a Redis Cluster; the hosts are some of its servers | false |
/// | `tls_ca=FILE` | trusts the authorities in this PEM file | the system's |
/// | `tls_insecure=true` | does not look whose certificate it is: no protection against another server | false |
/// | `password_env=NAME` | the password is in this variable, not in the address | |
///
/// # The server
///
/// What a checkpoint survives is up to the server. A writer logs what it finds, and [`durability`](Self::durability)
/// tells it.
///
/// | server | a process of Redis killed | the machine lost |
/// |---|---|---|
/// | `appendonly yes`, `appendfsync always` | nothing is lost | nothing, if its disk is there |
/// | `appendonly yes`, `appendfsync everysec` | at most the last two seconds | the same |
/// | snapshots only | everything since the last one | the same |
/// | and `wait=1` | as above, if it comes back; nothing if the replica takes over | nothing, if the replica takes over that has the writes |
///
/// Whatever is lost is lost from the end: the newest checkpoint that is left is whole. A running writer notices, and
/// ends with an error; started again, it goes on from there. `maxmemory-policy` must be `noeviction` (Redis's default):
/// any other lets Redis delete parts of checkpoints.
///
/// # Rights
///
/// ```text
/// ACL SETUSER flights on >PASSWORD ~{flights}:* resetchannels -@all +select +multi +exec +eval +set +unlink +exists
///     +getrange +hset +hget +hmget +hgetall +hdel +pttl +pexpireat +persist +time +wait
///     +info +client|setname +client|list +client|id +cluster|slots +config|get
/// ```
///
/// A user that only reads needs `+select +exists +getrange +hget +hmget +hgetall` of these. Those of the last line may be
/// missing; then warnings about the server, the checks for another writer and another master, or failing over within a
/// cluster are.
///
/// # Writers
///
/// The generation fences, whatever the server is told. So that a second writer is refused before it has taken over, a
/// writer names its connection on the server, and opening with [`Access::Write`] looks for that name: a process that
/// ended is gone from there at once, one that hangs is not. A machine that vanished is, when the server notices
/// (`tcp-keepalive`); until then, take over.
///
/// ```no_run
/// use std::path::Path;
///
/// use eventflux::storage::{Access, RedisAddress, RedisBackend};
/// use eventflux::{CheckpointManager, ManagerConfig};
///
/// let address = RedisAddress::parse("redis://127.0.0.1:6379/0?prefix=flights&wait=1", Path::new(""))?;
/// let storage = RedisBackend::open(address, Access::Write)?;
/// let manager = CheckpointManager::open(storage, ManagerConfig::default())?;
/// # Ok::<(), eventflux::Error>(())
/// ```
#[derive(Debug)]
pub struct RedisBackend {
    link: Link,
    job: Job,
    /// Objects put since the last swap, with their entries in the index.
    put: BTreeMap<String, String>,
    /// An object whose writing failed on the way.
    unfinished: Option<String>,
    /// The object last read, with its entry: sections of it are read one after the other.
    last_read: Option<(String, Entry)>,
    /// Number of the last swap of this writer.
    swaps: u64,
    /// Token of that, and of those since whose answers were lost: one of them is the head's as long as that is ours.
    tokens: Vec<String>,
    /// When the job ends, as the last swap set it: milliseconds since 1970, 0 for never; empty if that is not known.
    ends_at: String,
    durability: RedisDurability,
    warnings: Vec<String>,
    may_write: bool,
}

impl RedisBackend {
    /// Opens a storage. For writing it need not exist; what a writer before left half-written is removed.
    ///
    /// # Errors
    /// [`Error::Locked`] if it is open for writing elsewhere; [`Error::File`] if there is none to read; what the server
    /// said.
    pub fn open(address: RedisAddress, access: Access) -> Result<Self> {
        let mut storage = RedisBackend {
            job: Job::new(address.prefix()),
            link: Link::new(address),
            put: BTreeMap::new(),
            unfinished: None,
            last_read: None,
            swaps: 0,
            tokens: Vec::new(),
            ends_at: String::new(),
            durability: RedisDurability::default(),
            warnings: Vec::new(),
            may_write: access != Access::Read,
        };
        if access == Access::Read {
            storage.check_exists()?;
        } else {
            storage.become_writer(access)?;
        }
        Ok(storage)
    }

    /// What the last write reached.
    #[must_use]
    pub fn durability(&self) -> &RedisDurability {
        &self.durability
    }

    /// What is wrong with the server's settings, found when it was opened for writing; logged as well.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn check_exists(&mut self) -> Result<()> {
        let mut exists = cmd("EXISTS");
        exists.arg(&self.job.head).arg(&self.job.objects);
        if self.run::<u64>("open", &self.job.head.clone(), &exists)? == 0 {
            let reason = io::Error::new(ErrorKind::NotFound, "there is no checkpoint storage here");
            return Err(Error::File { action: "open", path: self.path(), reason });
        }
        Ok(())
    }

    fn become_writer(&mut self, access: Access) -> Result<()> {
        let head = self.job.head.clone();
        // The first command that names a key: in a cluster it leads to the server that has the slot.
        let mut swaps = cmd("HGET");
        swaps.arg(&head).arg("swaps");
        self.run::<Option<u64>>("open", &head, &swaps)?;
        let name = format!("eventflux-writer:{}:{}", self.link.address().database, self.link.address().prefix());
        self.link.set_client_name(name.clone());
        if access == Access::Write {
            self.check_alone(&name)?;
        }
        let clean = self.job.clean();
        let left: u64 = self.run("open", &head, &clean)?;
        if left > 0 {
            tracing::info!(objects = left, "Redis: removed what a writer before left half-written");
        }
        let settings = self.link.run("open", &head, server::settings)?;
        self.warnings = settings.warnings(self.link.address());
        for warning in &self.warnings {
            tracing::warn!("{}: {warning}", self.link.address());
        }
        self.durability.persistence = settings.persistence();
        self.link.check_one_master()?;
        tracing::info!(persistence = ?self.durability.persistence, wait = self.link.address().wait, "Redis: opened");
        Ok(())
    }

    /// Refuses to write beside another writer.
    fn check_alone(&mut self, name: &str) -> Result<()> {
        let until = Instant::now() + WRITER_GONE_WAIT;
        loop {
            let other = self.link.run("open", &self.job.head, |connection| server::other_client(connection, name))?;
            match other {
                None => return Ok(()),
                Some(holder) if Instant::now() > until => {
                    return Err(Error::Locked { path: self.path(), writer: holder });
                }
                Some(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(self.link.address().to_string())
    }

    fn run<T: FromRedisValue>(&mut self, operation: &'static str, object: &str, command: &Cmd) -> Result<T, CoreError> {
        self.link.run(operation, object, |connection| command.query(connection))
    }

    /// Notes how many replicas have what was written, and refuses if those are too few.
    fn acknowledged(&mut self, operation: &'static str, object: &str, replicas: u32) -> Result<(), CoreError> {
        let address = self.link.address();
        let (wanted, timeout) = (address.wait, address.wait_timeout);
        self.durability.replicas = replicas;
        tracing::debug!(operation, object, replicas, "Redis: written");
        if replicas < wanted {
            let reason = format!(
                "{address}: written, but only {replicas} of {wanted} replicas acknowledged it within {timeout:?}, so \
                 that it does not count; see whether the replicas run, or ask for fewer with `wait`"
            );
            return Err(storage_error(operation, object, reason));
        }
        Ok(())
    }

    /// Milliseconds that the job lives after a swap; 0 for ever.
    fn lifetime_ms(&self) -> u64 {
        self.link.address().expire.map_or(0, |lifetime| lifetime.as_millis() as u64)
    }

    /// When the job ends: what is written now must end then too.
    fn known_end(&mut self, object: &str) -> Result<String, CoreError> {
        if self.ends_at.is_empty() {
            let renew = self.job.renew(self.lifetime_ms());
            self.ends_at = self.run("put", object, &renew)?;
        }
        Ok(self.ends_at.clone())
    }

    /// Removes what a failed attempt to write has left.
    fn remove_unfinished(&mut self) -> Result<(), CoreError> {
        match self.unfinished.clone() {
            Some(object) => self.delete(&object),
            None => Ok(()),
        }
    }

    /// Writes the chunks and the entry; how many replicas have them. `None` if chunks were missing in the end.
    fn put_once<'a>(
        &mut self,
        object: &str,
        bytes: &'a [u8],
        entry: &str,
        ends_at: &str,
    ) -> Result<Option<u32>, CoreError> {
        let RedisBackend { link, job, .. } = self;
        let chunks: Vec<&'a [u8]> = bytes.chunks(link.address().chunk_bytes as usize).collect();
        let (last, before) = chunks.split_last().map_or((None, &[][..]), |(last, before)| (Some(*last), before));
        let write = |transaction: &mut Transaction<'a>, number: usize, chunk: &'a [u8]| {
            if !before.is_empty() {
                transaction.command(cmd("HSET").arg(&job.pending).arg(object).arg(entry));
                if ends_at != "0" {
                    transaction.command(cmd("PEXPIREAT").arg(&job.pending).arg(ends_at));
                }
            }
            transaction.set(&job.chunk(object, number as u64), chunk, ends_at);
        };
        for (number, chunk) in before.iter().enumerate() {
            let mut transaction = Transaction::new();
            write(&mut transaction, number, chunk);
            link.run("put", object, |connection| transaction.run::<()>(connection))?;
        }
        let mut transaction = Transaction::new();
        if let Some(chunk) = last {
            write(&mut transaction, before.len(), chunk);
        }
        transaction.command(&job.register(ends_at, object, entry));
        let wait = Wait::of(link.address());
        link.run("put", object, |connection| {
            let is_whole: bool = transaction.run(connection)?;
            if is_whole { wait.for_replicas(connection).map(Some) } else { Ok(None) }
        })
    }

    /// The entry of an object in the index.
    fn entry(&mut self, object: &str) -> Result<Option<Entry>, CoreError> {
        let mut get = cmd("HGET");
        get.arg(&self.job.objects).arg(object);
        let found: Option<String> = self.run("read", object, &get)?;
        found.map(|text| Entry::parse(&text).ok_or_else(|| wrong_entry(object, &text))).transpose()
    }
}

impl Backend for RedisBackend {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<(), CoreError> {
        check_writer(self.may_write, object)?;
        check_name(object)?;
        self.check_head_is_ours(object)?;
        self.remove_unfinished()?;
        let chunk_bytes = self.link.address().chunk_bytes;
        let entry = Entry::of(object, bytes.len() as u64, chunk_bytes)?.to_string();
        let ends_at = self.known_end(object)?;
        self.unfinished = Some(object.into());
        self.last_read = None;
        for _ in 0..PUT_ATTEMPTS {
            if let Some(replicas) = self.put_once(object, bytes, &entry, &ends_at)? {
                self.unfinished = None;
                self.acknowledged("put", object, replicas)?;
                // From now on it has to be there.
                self.put.insert(object.into(), entry);
                return Ok(());
            }
        }
        let address = self.link.address();
        let expired = if address.expire.is_some() { ", or the job expired" } else { "" };
        let reason = format!(
            "{address}: parts of it were deleted while it was written, {PUT_ATTEMPTS} times; see whether another \
             process opens this storage, or the server evicts keys{expired}"
        );
        Err(storage_error("put", object, reason))
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>, CoreError> {
        check_name(object)?;
        // A name means the same bytes for ever; if they are deleted, that shows where they are read.
        let known = self.last_read.take().filter(|(name, entry)| name == object && range.within(entry.len).1 > 0);
        let entry = match known {
            Some((_, entry)) => entry,
            None => match self.entry(object)? {
                Some(entry) => entry,
                None => return Ok(None),
            },
        };
        let (offset, len) = range.within(entry.len);
        // What the entry claims may be wrong; each chunk is there before there is room for the next.
        let mut bytes = Vec::with_capacity(len.min(entry.chunk_bytes) as usize);
        let end = offset + len;
        let mut at = offset;
        while at < end {
            let (number, within) = (at / entry.chunk_bytes, at % entry.chunk_bytes);
            let wanted = (entry.chunk_bytes - within).min(end - at);
            let mut get = cmd("GETRANGE");
            get.arg(self.job.chunk(object, number)).arg(within).arg(within + wanted - 1);
            let chunk: Vec<u8> = self.run("read", object, &get)?;
            if chunk.len() as u64 != wanted {
                // Deleted while we read?
                return if self.entry(object)?.is_none() { Ok(None) } else { Err(chunk_missing(object, number)) };
            }
            bytes.extend_from_slice(&chunk);
            at += wanted;
        }
        self.last_read = Some((object.into(), entry));
        Ok(Some(bytes))
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>, CoreError> {
        let mut get = cmd("HGETALL");
        get.arg(&self.job.objects);
        let entries: BTreeMap<String, String> = self.run("list", &self.job.objects.clone(), &get)?;
        // A damaged entry is told to whoever reads that object: it is no reason to know nothing of the others.
        let len = |text: &str| Entry::parse(text).map_or(0, |entry| entry.len);
        Ok(entries.into_iter().map(|(name, text)| ObjectInfo { len: len(&text), name }).collect())
    }

    fn delete(&mut self, object: &str) -> Result<(), CoreError> {
        check_writer(self.may_write, object)?;
        check_name(object)?;
        self.last_read = None;
        let delete = self.job.delete(object);
        self.run::<()>("delete", object, &delete)?;
        self.put.remove(object);
        self.unfinished.take_if(|unfinished| unfinished == object);
        Ok(())
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>, CoreError> {
        let mut get = cmd("HMGET");
        get.arg(&self.job.head).arg("record").arg("swaps");
        let (record, swaps): (Option<Vec<u8>>, Option<u64>) = self.run("read", HEAD, &get)?;
        self.check_not_back(swaps.unwrap_or(0))?;
        Ok(record)
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, CoreError> {
        check_writer(self.may_write, HEAD)?;
        let token = token();
        // Until it is answered nobody knows whose the head is, nor when the job ends.
        self.tokens.push(token.clone());
        let ends_before = core::mem::take(&mut self.ends_at);
        let swap = Swap { expected, new, token: &token, put: &self.put };
        let command = self.job.swap(self.lifetime_ms(), &swap);
        let wait = Wait::of(self.link.address());
        let ((outcome, swaps, ends_at, gone), replicas) = self.link.run("head", HEAD, |connection| {
            let answer: (i64, u64, String, String) = command.query(connection)?;
            let replicas = if answer.0 == SWAPPED { wait.for_replicas(connection)? } else { 0 };
            Ok((answer, replicas))
        })?;
        if outcome != SWAPPED {
            self.tokens.retain(|other| *other != token);
            self.ends_at = ends_before;
        }
        match outcome {
            SWAPPED => {
                (self.swaps, self.ends_at) = (swaps, ends_at);
                self.tokens = vec![token];
                self.put.clear();
                self.acknowledged("head", HEAD, replicas)?;
                Ok(true)
            }
            OBJECT_GONE => {
                // Its checkpoint is given up; one after it does not need it.
                self.put.remove(&gone);
                let address = self.link.address();
                let reason = format!(
                    "{address}: {gone} was put and acknowledged, and is not there any more, or not whole: the server \
                     lost it (a replica was promoted, it came back without its append-only file, keys were evicted); \
                     the head is unchanged, the last checkpoint is whole"
                );
                Err(storage_error("head", HEAD, reason))
            }
            _ => {
                self.check_not_back(swaps)?;
                Ok(false)
            }
        }
    }
}

/// Replicas to wait for.
#[derive(Debug, Clone, Copy)]
struct Wait {
    replicas: u32,
    timeout: Duration,
}

impl Wait {
    fn of(address: &RedisAddress) -> Self {
        Wait { replicas: address.wait, timeout: address.wait_timeout }
    }

    /// How many replicas have what this connection wrote; as many as wanted, or those that do in time.
    fn for_replicas(self, connection: &mut Connection) -> RedisResult<u32> {
        if self.replicas == 0 {
            return Ok(0);
        }
        cmd("WAIT").arg(self.replicas).arg(self.timeout.as_millis() as u64).query(connection)
    }
}

/// What no other swap has: 128 random bits, from where the standard library's hash maps take theirs.
fn token() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}
