//! Addresses of storages on Redis: `redis://user:password@host:port/database?option=value`.
//!
//! Invariants:
//! - A password is in no text made here: not in `Display`, not in `Debug`, not in an error.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

const PORT: u16 = 6379;
/// Longest part of an object under one key: Redis moves keys whole, and holds up others meanwhile.
pub(super) const CHUNK_BYTES_MAX: u64 = 8 * 1024 * 1024;
pub(super) const CHUNK_BYTES_MIN: u64 = 1024;
const PREFIX_BYTES_MAX: usize = 200;
const KNOWN: &str = "prefix, chunk, expire, wait, wait_timeout, connect_timeout, timeout, retries, backoff, \
                     backoff_max, cluster, tls_ca, tls_insecure, password_env";

/// Where on Redis a storage is, and how it is used. The module says what each option means.
///
/// ```
/// use std::path::Path;
///
/// use eventflux::storage::RedisAddress;
/// let text = "redis://me:secret@127.0.0.1:6400/2?prefix=flights&wait=1&expire=7d";
/// let address = RedisAddress::parse(text, Path::new(""))?;
/// assert_eq!(address.prefix(), "flights");
/// assert_eq!(address.to_string(), text.replace("secret", "***"));
/// # Ok::<(), eventflux::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    pub(super) hosts: Vec<Host>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) tls: Option<Tls>,
    pub(super) database: u32,
    pub(super) prefix: String,
    pub(super) chunk_bytes: u64,
    pub(super) expire: Option<Duration>,
    pub(super) wait: u32,
    pub(super) wait_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    pub(super) backoff: Duration,
    pub(super) backoff_max: Duration,
    pub(super) cluster: bool,
    /// The options as they were given, for `Display`.
    given: Vec<(String, String)>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

/// How a server proves who it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// File of the authorities trusted, in PEM; else those of the system.
    pub(super) authorities: Option<PathBuf>,
    /// It need not.
    pub(super) insecure: bool,
}

impl RedisAddress {
    /// How long the job lives after its last checkpoint, if not for ever.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.expire
    }

    /// Reads an address; the file of `tls_ca` is relative to `base`.
    ///
    /// # Errors
    /// [`Error::Address`], which does not show the password.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        parse(text, base).map_err(|reason| Error::Address { address: redacted(text), reason })
    }

    /// What the names of all keys of the storage begin with, in braces.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls.is_some() { "rediss://" } else { "redis://" })?;
        match (&self.username, &self.password) {
            (None, None) => {}
            (Some(user), None) => write!(f, "{user}@")?,
            (user, Some(_)) => write!(f, "{}:***@", user.as_deref().unwrap_or_default())?,
        }
        for (at, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if at > 0 { "," } else { "" })?;
        }
        write!(f, "/{}", self.database)?;
        for (at, (option, value)) in self.given.iter().enumerate() {
            write!(f, "{}{option}={value}", if at > 0 { '&' } else { '?' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Host { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

impl Host {
    /// Reads `name`, `name:port` or `[address]:port`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, port)) => (name, port.strip_prefix(':').or(port.is_empty().then_some(""))?),
            None => text.split_once(':').unwrap_or((text, "")),
        };
        let port = if port.is_empty() { PORT } else { port.parse().ok()? };
        (!name.is_empty()).then(|| Host { name: name.into(), port })
    }
}

/// An address as it may be shown: whatever stands before an `@` may be a password, and the value of an option that
/// is none.
fn redacted(text: &str) -> String {
    let shown = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        _ => text.into(),
    };
    match shown.split_once("password=") {
        Some((before, value)) => format!("{before}password=***{}", value.find('&').map_or("", |at| &value[at..])),
        None => shown,
    }
}

fn parse(text: &str, base: &Path) -> Result<RedisAddress, String> {
    let (scheme, rest) = text.split_once("://").ok_or("hosts must follow, such as redis://127.0.0.1:6379/0")?;
    // The last `@`: a password may have others, and a `?`, unescaped. In an option it is %40.
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
    let host = |text: &str| Host::parse(text).ok_or_else(|| format!("`{text}` is no host, such as 127.0.0.1:6379"));
    let mut address = RedisAddress {
        hosts: hosts.split(',').map(host).collect::<Result<_, _>>()?,
        username: None,
        password: None,
        tls: (scheme == "rediss").then(Tls::default),
        database: if database.is_empty() {
            0
        } else {
            database.parse().map_err(|_| format!("`{database}` is no number of a database, such as 0"))?
        },
        prefix: "eventflux".into(),
        chunk_bytes: CHUNK_BYTES_MAX,
        expire: None,
        wait: 0,
        wait_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(30),
        retries: 10,
        backoff: Duration::from_millis(50),
        backoff_max: Duration::from_secs(5),
        cluster: false,
        given: Vec::new(),
    };
    if let Some(user) = user {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let decoded = |text: &str, what| decode(text).ok_or_else(|| format!("the {what} has a wrong %-escape"));
        address.username = Some(decoded(name, "user name")?).filter(|name| !name.is_empty());
        address.password = Some(decoded(password, "password")?).filter(|password| !password.is_empty());
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (option, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = decode(value).ok_or_else(|| format!("`{value}` has a wrong %-escape"))?;
        address.set(option, &decoded, base).map_err(|reason| format!("option `{option}`: {reason}"))?;
        address.given.push((option.into(), value.into()));
    }
    address.check()?;
    Ok(address)
}

impl RedisAddress {
    fn set(&mut self, option: &str, value: &str, base: &Path) -> Result<(), String> {
        match option {
            "prefix" => self.prefix = prefix(value)?,
            "chunk" => self.chunk_bytes = bytes(value)?,
            "expire" => self.expire = Some(duration(value)?),
            "wait" => self.wait = number(value)?,
            "wait_timeout" => self.wait_timeout = duration(value)?,
            "connect_timeout" => self.connect_timeout = duration(value)?,
            "timeout" => self.timeout = duration(value)?,
            "retries" => self.retries = number(value)?,
            "backoff" => self.backoff = duration(value)?,
            "backoff_max" => self.backoff_max = duration(value)?,
            "cluster" => self.cluster = flag(value)?,
            "tls_ca" => self.tls_option()?.authorities = Some(base.join(value)),
            "tls_insecure" => self.tls_option()?.insecure = flag(value)?,
            "password_env" => {
                let password = std::env::var(value).map_err(|_| format!("there is no variable `{value}`"))?;
                self.password = Some(password);
            }
            _ => return Err(format!("there is no such option; there are {KNOWN}")),
        }
        Ok(())
    }

    fn tls_option(&mut self) -> Result<&mut Tls, String> {
        self.tls.as_mut().ok_or_else(|| "it is for TLS: begin with rediss://".into())
    }

    fn check(&self) -> Result<(), String> {
        if self.cluster && self.database != 0 {
            return Err("a cluster has database 0 only".into());
        }
        if self.username.is_some() && self.password.is_none() {
            return Err("a user needs a password: redis://user:password@…, or option password_env".into());
        }
        Ok(())
    }
}

fn prefix(value: &str) -> Result<String, String> {
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte));
    if plain && (1..=PREFIX_BYTES_MAX).contains(&value.len()) {
        Ok(value.into())
    } else {
        Err(format!("1 to {PREFIX_BYTES_MAX} letters, digits and -_.:/ are allowed"))
    }
}

fn number(value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("`{value}` is not a whole number"))
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{value}` is neither true nor false")),
    }
}

fn bytes(value: &str) -> Result<u64, String> {
    let units = [("MiB", 1024 * 1024), ("KiB", 1024), ("", 1)];
    let parsed = units.iter().find_map(|(unit, size)| {
        let number: u64 = value.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*size)
    });
    parsed
        .filter(|bytes| (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(bytes))
        .ok_or_else(|| format!("`{value}` is not a size from 1KiB to 8MiB"))
}

fn duration(value: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let parsed = units.iter().find_map(|(unit, milliseconds)| {
        let number: u32 = value.strip_suffix(unit)?.parse().ok()?;
        (number > 0).then(|| Duration::from_millis(u64::from(number) * milliseconds))
    });
    parsed.ok_or_else(|| format!("`{value}` is not a duration, such as 500ms, 10s, 24h, 7d"))
}

/// Text with its %-escapes resolved.
fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            decoded.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            decoded.push(*byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RedisAddress, String> {
        RedisAddress::parse(text, Path::new("/base")).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_read() {
        let address = read("rediss://me:p%40ss%2Fw@[::1]:7000,other/0?prefix=a:b&tls_ca=ca.pem&chunk=1MiB").unwrap();
        assert_eq!(address.hosts.iter().map(Host::to_string).collect::<Vec<_>>(), ["[::1]:7000", "other:6379"]);
        assert_eq!((address.username.as_deref(), address.password.as_deref()), (Some("me"), Some("p@ss/w")));
        assert_eq!(address.tls.as_ref().unwrap().authorities.as_deref(), Some(Path::new("/base/ca.pem")));
        assert_eq!((address.prefix(), address.chunk_bytes, address.database), ("a:b", 1024 * 1024, 0));
        let address = read("redis://:pw@h/3?wait=2&wait_timeout=500ms&expire=1h&retries=0").unwrap();
        assert_eq!((address.username.as_deref(), address.password.as_deref()), (None, Some("pw")));
        assert_eq!((address.database, address.wait, address.retries), (3, 2, 0));
        assert_eq!(
            (address.wait_timeout, address.expire),
            (Duration::from_millis(500), Some(Duration::from_secs(3600)))
        );
        assert_eq!(address.to_string(), "redis://:***@h:6379/3?wait=2&wait_timeout=500ms&expire=1h&retries=0");
        assert_eq!(read(&read("redis://h").unwrap().to_string()).unwrap().prefix(), "eventflux");
    }

    #[test]
    fn wrong_addresses_say_what_is_right() {
        for (text, said) in [
            ("redis:h", "such as redis://127.0.0.1:6379/0"),
            ("redis://", "is no host"),
            ("redis://h:port/0", "is no host"),
            ("redis://h/zero", "no number of a database"),
            ("redis://h/0?prefx=a", "there are prefix, chunk,"),
            ("redis://h/0?prefix={a}", "letters, digits"),
            ("redis://h/0?prefix=", "letters, digits"),
            ("redis://h/0?chunk=9MiB", "1KiB to 8MiB"),
            ("redis://h/0?expire=0s", "not a duration"),
            ("redis://h/0?timeout=10", "not a duration"),
            ("redis://h/0?wait=-1", "not a whole number"),
            ("redis://h/0?cluster=yes", "neither true nor false"),
            ("redis://h/1?cluster=true", "database 0 only"),
            ("redis://h/0?tls_ca=ca.pem", "rediss://"),
            ("redis://me@h/0", "needs a password"),
            ("redis://h/0?prefix=%f", "%-escape"),
            ("redis://h/0?password_env=NO_SUCH_VARIABLE_HERE", "NO_SUCH_VARIABLE_HERE"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        for text in [
            "redis://me:secret@h/0?nonsense=1",
            "redis://:secret@h/zero",
            "redis://me:secret/with@h:port/0",
            "redis://me:sec?ret@h/zero",
            "redis://me:%zzsecret@h",
            "redis://me:secret@h@secret@h/zero",
            "redis://h/0?password=secret&prefix=a",
        ] {
            // One of the options has a part of it too.
            let error = read(text).unwrap_err().replace(KNOWN, "");
            assert!(!error.contains("sec") && !error.contains("ret"), "{error}");
        }
        let address = read("redis://me:secret@h/0?prefix=a").unwrap();
        let shown = format!("{address} {address:?} {address:#?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
