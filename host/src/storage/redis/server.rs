//! What a server says of itself, and of who is connected.

use std::collections::BTreeMap;

use redis::{Connection, ErrorKind, RedisError, RedisResult, cmd};

use super::address::RedisAddress;

/// What the server does so that writes outlive it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisPersistence {
    /// The user may not see it.
    #[default]
    Unknown,
    /// No append-only file: at best snapshots now and then.
    Snapshots,
    /// An append-only file; with `appendfsync` as given here, if the user may see it.
    AppendOnly(Option<String>),
}

/// What the last write of a storage reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisDurability {
    /// What the server does, as it said when the storage was opened for writing.
    pub persistence: RedisPersistence,
    /// Replicas that acknowledged the last write; 0 if none was waited for.
    pub replicas: u32,
}

/// Settings of a server, as far as it tells them.
#[derive(Debug, Default)]
pub(super) struct Settings {
    info: BTreeMap<String, String>,
    appendfsync: Option<String>,
}

/// Asks for the settings. A user without the right to see them gets none.
pub(super) fn settings(connection: &mut Connection) -> RedisResult<Settings> {
    let info: Option<String> = if_permitted(cmd("INFO").query(connection))?;
    let line = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let info: BTreeMap<_, _> = info.unwrap_or_default().lines().filter_map(line).collect();
    let config: Option<Vec<String>> = if_permitted(cmd("CONFIG").arg("GET").arg("appendfsync").query(connection))?;
    Ok(Settings { info, appendfsync: config.and_then(|pair| pair.into_iter().nth(1)) })
}

/// Whether the server follows another; nothing if it does not tell.
pub(super) fn is_replica(connection: &mut Connection) -> RedisResult<Option<bool>> {
    let info: Option<String> = if_permitted(cmd("INFO").arg("replication").query(connection))?;
    Ok(info.map(|info| info.lines().any(|line| line == "role:slave")))
}

impl Settings {
    pub(super) fn persistence(&self) -> RedisPersistence {
        match self.get("aof_enabled") {
            None => RedisPersistence::Unknown,
            Some("1") => RedisPersistence::AppendOnly(self.appendfsync.clone()),
            Some(_) => RedisPersistence::Snapshots,
        }
    }

    /// What puts checkpoints at risk.
    pub(super) fn warnings(&self, address: &RedisAddress) -> Vec<String> {
        let mut warnings = Vec::new();
        let policy = self.get("maxmemory_policy").unwrap_or("noeviction");
        if policy.starts_with("allkeys") || (policy.starts_with("volatile") && address.expire.is_some()) {
            warnings.push(format!(
                "maxmemory-policy is {policy}: when memory is short the server deletes parts of checkpoints, which then \
                 cannot be restored; set it to noeviction"
            ));
        }
        if self.persistence() == RedisPersistence::Snapshots {
            warnings.push(String::from(
                "appendonly is off: when the server ends it loses the checkpoints since its last snapshot; set it to yes",
            ));
        }
        let connected = self.get("connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(u32::MAX);
        if connected < address.wait {
            warnings.push(format!(
                "wait={} asks for more replicas than the {connected} that are connected: no checkpoint will succeed",
                address.wait
            ));
        }
        warnings
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.info.get(name).map(String::as_str)
    }
}

/// Another connection of this name, opened before this one: from where.
pub(super) fn other_client(connection: &mut Connection, name: &str) -> RedisResult<Option<String>> {
    let Some(own): Option<u64> = if_permitted(cmd("CLIENT").arg("ID").query(connection))? else { return Ok(None) };
    let list: Option<String> = if_permitted(cmd("CLIENT").arg("LIST").query(connection))?;
    let mut clients = list.as_deref().unwrap_or_default().lines().map(|line| {
        let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        (field("id").and_then(|id| id.parse::<u64>().ok()), field("name"), field("addr"))
    });
    let other = clients.find(|(id, found, _)| *found == Some(name) && id.is_some_and(|id| id < own));
    Ok(other.map(|(_, _, place)| format!("from {}", place.unwrap_or("an unknown place"))))
}

/// `None` where the server refuses to tell; a failed connection stays an error.
fn if_permitted<T>(answer: RedisResult<T>) -> RedisResult<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if refused(&error) => {
            tracing::debug!(%error, "Redis: the server does not tell");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn refused(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) && !matches!(error.code(), Some("LOADING"))
}
