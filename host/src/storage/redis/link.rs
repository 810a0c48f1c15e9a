//! The connection to Redis: made again when it breaks, moved when the keys are elsewhere.
//!
//! All keys of a job are in one slot, so that also in a cluster one plain connection does, to the server that has the
//! slot; what points there is its answer `MOVED`.
//!
//! Invariants:
//! - After an error that leaves it open what the next answer is to, the connection is thrown away.
//! - What is tried again is tried whole, with its `WAIT`: that covers only what its own connection wrote.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use eventflux_core::Error as CoreError;
use redis::io::tcp::TcpSettings;
use redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisResult,
    TlsCertificates, Value,
};

use super::super::tls::choose_cryptography;
use super::address::{Host, RedisAddress};
use super::failure::{Reaction, explained, reaction, storage_error};
use super::server;

/// Redirections followed in a row before they count as failures: a cluster that changes may send to and fro.
const MOVES_MAX: u32 = 5;
/// Attempts to connect for the first time: a wrong address should not take long to be told.
const FIRST_ATTEMPTS_MAX: u32 = 4;

pub(super) struct Link {
    address: RedisAddress,
    /// Under which name the server lists the connection.
    client_name: Option<String>,
    /// Every server known, those of the address first.
    hosts: Vec<Host>,
    /// Which of them is used.
    at: usize,
    connection: Option<Connection>,
    /// Whether it was ever connected.
    was_connected: bool,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("address", &self.address).field("at", &self.hosts[self.at]).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(address: RedisAddress) -> Self {
        let hosts = address.hosts.clone();
        Link { address, client_name: None, hosts, at: 0, connection: None, was_connected: false }
    }

    pub(super) fn address(&self) -> &RedisAddress {
        &self.address
    }

    /// Gives the connection a name, now and whenever it is made again.
    pub(super) fn set_client_name(&mut self, name: String) {
        if let Some(connection) = &mut self.connection {
            // If it is broken, that shows with what is asked next.
            let _ = name_client(connection, &name);
        }
        self.client_name = Some(name);
    }

    /// Does something, again and again while that may help.
    pub(super) fn run<T>(
        &mut self,
        operation: &'static str,
        object: &str,
        mut attempt: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, CoreError> {
        let (mut attempts, mut failures, mut moves, mut hosts_tried) = (0, 0, 0, 0);
        loop {
            attempts += 1;
            let outcome = self.connected().and_then(&mut attempt);
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let reaction = match reaction(&error, &self.address) {
                // It was taken before: the server has no room for another client, which this error hides.
                Reaction::GiveUp if self.was_connected && error.kind() == ErrorKind::AuthenticationFailed => {
                    Reaction::Reconnect
                }
                reaction => reaction,
            };
            match reaction {
                Reaction::Move(host) => {
                    self.move_to(host);
                    moves += 1;
                    if moves <= MOVES_MAX {
                        continue;
                    }
                }
                Reaction::Reconnect => {
                    self.connection = None;
                    self.at = (self.at + 1) % self.hosts.len();
                    hosts_tried += 1;
                    if hosts_tried < self.hosts.len() {
                        continue;
                    }
                    hosts_tried = 0;
                }
                Reaction::Wait => {}
                Reaction::GiveUp => {
                    // The next answer of this connection may be to anything.
                    if !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
                        self.connection = None;
                    }
                    return Err(explained(operation, object, &error, &self.address, attempts));
                }
            }
            failures += 1;
            if failures > self.retries() {
                return Err(explained(operation, object, &error, &self.address, attempts));
            }
            let pause = self.pause(failures);
            tracing::warn!(operation, object, %error, attempt = attempts, ?pause, "Redis: trying again");
            thread::sleep(pause);
        }
    }

    /// How often to try all hosts again.
    fn retries(&self) -> u32 {
        if self.was_connected { self.address.retries } else { self.address.retries.min(FIRST_ATTEMPTS_MAX - 1) }
    }

    /// Doubles with each failure.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = self.address.backoff.saturating_mul(1 << (failures - 1).min(20));
        doubled.min(self.address.backoff_max)
    }

    fn move_to(&mut self, host: Host) {
        self.connection = None;
        self.at = self.hosts.iter().position(|known| *known == host).unwrap_or_else(|| {
            self.hosts.push(host);
            self.hosts.len() - 1
        });
    }

    fn connected(&mut self) -> RedisResult<&mut Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        Ok(self.connection.insert(connection))
    }

    fn connect(&mut self) -> RedisResult<Connection> {
        let address = &self.address;
        let mut connection = connect_to(&self.hosts[self.at], address)?;
        if let Some(name) = &self.client_name {
            name_client(&mut connection, name)?;
        }
        if address.cluster {
            for host in nodes(&mut connection)? {
                if !self.hosts.contains(&host) {
                    self.hosts.push(host);
                }
            }
        }
        if self.hosts.len() > 1 && !address.cluster && server::is_replica(&mut connection)? == Some(true) {
            let host = self.hosts[self.at].to_string();
            return Err((ErrorKind::Io, "a replica, and another one of the hosts is to be the master", host).into());
        }
        self.was_connected = true;
        Ok(connection)
    }

    /// Refuses several hosts of which more than one is a master: an old one that came back has an older state.
    pub(super) fn check_one_master(&mut self) -> Result<(), CoreError> {
        if self.address.cluster {
            return Ok(());
        }
        for host in self.hosts.iter().filter(|host| **host != self.hosts[self.at]) {
            let Ok(mut connection) = connect_to(host, &self.address) else { continue };
            if server::is_replica(&mut connection).is_ok_and(|replica| replica == Some(false)) {
                let (address, used) = (&self.address, &self.hosts[self.at]);
                let reason = format!(
                    "{address}: {used} and {host} both say that they are the master; let the one with the older state \
                     follow the other: REPLICAOF"
                );
                return Err(storage_error("open", "head", reason));
            }
        }
        Ok(())
    }
}

fn connect_to(host: &Host, address: &RedisAddress) -> RedisResult<Connection> {
    let connection = client(host, address)?.get_connection_with_timeout(address.connect_timeout)?;
    let timeout = address.timeout + if address.wait > 0 { address.wait_timeout } else { Duration::ZERO };
    connection.set_read_timeout(Some(timeout))?;
    connection.set_write_timeout(Some(address.timeout))?;
    Ok(connection)
}

/// A name is for those who look; a user that may not give itself one goes without. Fails if there was no answer.
fn name_client(connection: &mut Connection, name: &str) -> RedisResult<()> {
    match redis::cmd("CLIENT").arg("SETNAME").arg(name).exec(connection) {
        Err(error) if error.kind() == ErrorKind::Io => Err(error),
        Err(error) => {
            tracing::debug!(%error, "Redis: the connection has no name");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn no_delay() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn client(host: &Host, address: &RedisAddress) -> RedisResult<Client> {
    let (name, port) = (host.name.clone(), host.port);
    let place = match &address.tls {
        None => ConnectionAddr::Tcp(name, port),
        Some(tls) => ConnectionAddr::TcpTls { host: name, port, insecure: tls.insecure, tls_params: None },
    };
    let mut settings = RedisConnectionInfo::default().set_db(address.database.into()).set_skip_set_lib_name();
    if let Some(username) = &address.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &address.password {
        settings = settings.set_password(password);
    }
    // What is sent is sent whole: waiting for more would only delay its end.
    let info = place.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(no_delay());
    let Some(tls) = &address.tls else { return Client::open(info) };
    choose_cryptography();
    let read = |file: &PathBuf| {
        let failed = |error| format!("{}: {error}", file.display());
        fs::read(file).map_err(|error| (ErrorKind::InvalidClientConfig, "tls_ca cannot be read", failed(error)))
    };
    let root_cert = tls.authorities.as_ref().map(read).transpose()?;
    Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
}

/// The servers of a cluster, as far as they can be read. Fails if there was no answer.
fn nodes(connection: &mut Connection) -> RedisResult<Vec<Host>> {
    let ranges = match redis::cmd("CLUSTER").arg("SLOTS").query::<Value>(connection) {
        Ok(Value::Array(ranges)) => ranges,
        Err(error) if error.kind() == ErrorKind::Io => return Err(error),
        Ok(_) | Err(_) => return Ok(Vec::new()),
    };
    let mut found = Vec::new();
    for range in ranges {
        let Value::Array(parts) = range else { continue };
        for node in parts.into_iter().skip(2) {
            let Value::Array(parts) = node else { continue };
            if let [Value::BulkString(name), Value::Int(port), ..] = parts.as_slice()
                && let (Ok(name), Ok(port)) = (String::from_utf8(name.clone()), u16::try_from(*port))
                && !name.is_empty()
            {
                found.push(Host { name, port });
            }
        }
    }
    Ok(found)
}
