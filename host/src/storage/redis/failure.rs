//! What Redis answered when it did not do what was asked, and what to do about it.

use eventflux_core::Error as CoreError;
use redis::{ErrorKind, RedisError};

use super::address::{Host, RedisAddress};

/// What follows from an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reaction {
    /// The connection is of no use any more: connect again, perhaps to another server.
    Reconnect,
    /// The server will be able to later.
    Wait,
    /// In a cluster: another server has the keys.
    Move(Host),
    /// Trying again does not help.
    GiveUp,
}

/// What follows from an error.
pub(super) fn reaction(error: &RedisError, address: &RedisAddress) -> Reaction {
    match error.kind() {
        // A certificate does not become valid by trying again.
        ErrorKind::Io if error.to_string().contains("certificate") => return Reaction::GiveUp,
        ErrorKind::Io => return Reaction::Reconnect,
        // Said in answer to whatever is sent first, the password among them.
        _ if has_no_room(error) => return Reaction::Reconnect,
        _ => {}
    }
    match code(error).as_str() {
        "MOVED" if address.cluster => moved_to(error).map_or(Reaction::Reconnect, Reaction::Move),
        // A slot on its way to another server: its keys are together again when it has arrived.
        "ASK" | "TRYAGAIN" if address.cluster => Reaction::Wait,
        _ if address.cluster && error.to_string().contains("non local key") => Reaction::Wait,
        "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "BUSY" | "NOREPLICAS" => Reaction::Wait,
        // It was a master, or is about to become one; or another one of the hosts is.
        "READONLY" | "UNBLOCKED" => Reaction::Reconnect,
        _ => Reaction::GiveUp,
    }
}

/// Whether the server has as many clients as it takes.
fn has_no_room(error: &RedisError) -> bool {
    error.to_string().contains("max number of clients")
}

/// The server that a redirection names, behind the slot; also one within a transaction.
fn moved_to(error: &RedisError) -> Option<Host> {
    let errors = error.clone().into_server_errors()?;
    let (_, moved) = errors.iter().find(|(_, error)| error.code() == "MOVED")?;
    parse_node(moved.details()?.split(' ').nth(1)?)
}

/// `1.2.3.4:7000`, `::1:7000` or `name:7000`.
fn parse_node(node: &str) -> Option<Host> {
    let (name, port) = node.rsplit_once(':')?;
    Some(Host { name: name.trim_matches(['[', ']']).into(), port: port.parse().ok()? })
        .filter(|host| !host.name.is_empty())
}

/// An error of Redis as one of a storage, with what to do.
pub(super) fn explained(
    operation: &'static str,
    object: &str,
    error: &RedisError,
    address: &RedisAddress,
    attempts: u32,
) -> CoreError {
    let said = without_password(&error.to_string(), address);
    let advice = advice(error, &said, address);
    let attempts = if attempts > 1 { format!(" after {attempts} attempts") } else { String::new() };
    storage_error(operation, object, format!("{address}{attempts}: {said}{advice}"))
}

/// An error of this storage.
pub(super) fn storage_error(operation: &'static str, object: &str, reason: String) -> CoreError {
    CoreError::Storage { operation, object: object.into(), reason }
}

/// The code that the server's answer begins with; of a transaction, that of the first command refused.
fn code(error: &RedisError) -> String {
    if let Some(code) = error.code().filter(|code| *code != "EXECABORT" && *code != "ERR") {
        return code.into();
    }
    let inner = error.clone().into_server_errors();
    let codes = inner.iter().flat_map(|errors| errors.iter()).map(|(_, error)| error.code());
    codes.filter(|code| *code != "EXECABORT").map(String::from).next().unwrap_or_default()
}

fn advice(error: &RedisError, said: &str, address: &RedisAddress) -> String {
    let RedisAddress { prefix, .. } = address;
    let has = |part: &str| said.contains(part);
    // Scripts wrap what a command in them said, so that its code may be within.
    let advice = match code(error).as_str() {
        _ if has_no_room(error) => "it has as many clients as it takes: close some, or raise its maxclients".into(),
        _ if has("OOM") => "free memory of the server or raise its maxmemory; the last checkpoint is whole".into(),
        "MISCONF" => {
            "the server cannot save to its disk, and so refuses to write: see its log, free its disk; the last \
                      checkpoint is whole"
                .into()
        }
        "WRONGPASS" => "user name or password are wrong; they stand before the host: redis://user:password@host".into(),
        "NOAUTH" => "the server wants a password: redis://user:password@host".into(),
        _ if error.kind() == ErrorKind::AuthenticationFailed => {
            "user name or password are wrong, which stand before the host: redis://user:password@host; or the server has as \
             many clients as it takes: maxclients"
                .into()
        }
        "MOVED" | "CROSSSLOT" | "ASK" if !address.cluster => "this is a cluster: add the option cluster=true".into(),
        "READONLY" => "this server is a replica: name its master, or several hosts, separated by commas".into(),
        "LOADING" => "the server is still reading its data from disk: try again later, or raise `retries`".into(),
        "CLUSTERDOWN" | "TRYAGAIN" | "ASK" => {
            "the cluster is not whole at the moment: try again later, or raise `retries`".into()
        }
        "NOREPLICAS" => "too few replicas are connected for the server's min-replicas-to-write".into(),
        "BUSY" => "a script runs on the server for too long: see SCRIPT KILL".into(),
        _ if has("NOPERM") || has("can't run this command") || has("permission") => format!(
            "the user lacks a right; give it those in the documentation of eventflux::storage::RedisBackend, for the \
             keys ~{{{prefix}}}:*"
        ),
        _ if has("certificate") => {
            "the server's certificate is not trusted: name the file of its authority with tls_ca=FILE".into()
        }
        _ if error.is_timeout() => "the server does not answer: see whether it runs, or raise `timeout`".into(),
        _ if error.kind() == ErrorKind::Io => "see whether the server runs there, and host and port are right".into(),
        _ => return String::new(),
    };
    format!("; {advice}")
}

/// Servers do not repeat passwords; one that is a word of its own is taken out all the same.
fn without_password(said: &str, address: &RedisAddress) -> String {
    match &address.password {
        Some(password) if password.len() > 3 => said.replace(password.as_str(), "***"),
        _ => said.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn nodes_are_read() {
        let host = |name: &str, port| Some(Host { name: name.into(), port });
        assert_eq!(parse_node("10.0.0.1:7000"), host("10.0.0.1", 7000));
        assert_eq!(parse_node("fe80::1:7000"), host("fe80::1", 7000));
        assert_eq!(parse_node(":7000"), None);
        assert_eq!(parse_node("h"), None);
    }

    #[test]
    fn passwords_go_out_of_what_the_server_says() {
        let address = RedisAddress::parse("redis://u:secret@h/0", Path::new("")).unwrap();
        let error = RedisError::from((ErrorKind::Io, "connection", "as u:secret".to_owned()));
        let shown = explained("open", "head", &error, &address, 3).to_string();
        assert!(!shown.contains("secret") && shown.contains("after 3 attempts"), "{shown}");
    }
}
