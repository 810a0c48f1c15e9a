//! The storage on Redis keeps the contract of `Backend`, says what is wrong with a server, and leaves no key behind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::common::conformance::{conforms, only_reads};
use crate::common::redis_server::{DURABLE, RedisServer, cluster, open, wait_for};
use crate::common::states::{contents, holder, write};
use eventflux::storage::{Access, AnyBackend, RedisBackend, RedisPersistence, StorageAddress};
use eventflux::{Backend, CheckpointManager, Error, ManagerConfig, Retention, StateHolder, read_manifest, verify};
use eventflux_core::{ByteRange, Error as CoreError};

fn config() -> ManagerConfig {
    ManagerConfig { retention: Retention { max_retained: 3 }, ..ManagerConfig::default() }
}

fn checkpoint<B: Backend>(manager: &mut CheckpointManager<B>, state: &mut StateHolder, number: u64) {
    write(state, number);
    manager.checkpoint(state, None).unwrap();
}

/// The reason of an error of the storage.
#[track_caller]
fn reason<T: std::fmt::Debug>(outcome: Result<T, CoreError>) -> String {
    match outcome {
        Err(CoreError::Storage { reason, .. }) => reason,
        other => panic!("no error of the storage: {other:?}"),
    }
}

#[track_caller]
fn open_error(url: &str) -> String {
    open(url, Access::Write).unwrap_err().to_string()
}

#[test]
fn a_reader_cannot_cut_the_writer_off() {
    let server = RedisServer::start(&[]);
    let mut manager =
        CheckpointManager::open(server.open("prefix=a", Access::Write), ManagerConfig::default()).unwrap();
    let mut state = holder();
    manager.checkpoint(&mut state, None).unwrap();
    only_reads(server.open("prefix=a", Access::Read));
    manager.checkpoint(&mut state, None).unwrap();
}

#[test]
fn one_server_conforms() {
    let server = RedisServer::start(&[]);
    conforms(|| server.open("prefix=whole", Access::TakeOver));
    conforms(|| server.open("prefix=chunks&chunk=64KiB", Access::TakeOver));
    conforms(|| server.open("prefix=ends&chunk=64KiB&expire=1h", Access::TakeOver));
    let address = StorageAddress::parse(&server.url("prefix=boxed"), Path::new("")).unwrap();
    conforms(|| -> AnyBackend { address.open(Access::TakeOver).unwrap() });
    assert_eq!(address.to_string(), server.url("prefix=boxed"));
    // Another database is another storage.
    let other = format!("redis://127.0.0.1:{}/3?prefix=whole", server.port());
    assert_eq!(open(&other, Access::Write).unwrap().list().unwrap(), []);
}

#[test]
fn a_durable_server_conforms() {
    let server = RedisServer::start(&DURABLE);
    conforms(|| server.open("prefix=whole", Access::TakeOver));
    let storage = server.open("prefix=whole", Access::Write);
    assert_eq!(storage.durability().persistence, RedisPersistence::AppendOnly(Some("always".into())));
    assert_eq!(storage.warnings(), [""; 0]);
}

#[test]
fn a_cluster_conforms() {
    let servers = cluster();
    let hosts = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect::<Vec<_>>();
    let url = |prefix: &str| format!("redis://{}/0?prefix={prefix}&cluster=true&chunk=256KiB", hosts[0]);
    // A job is on one server, whichever is asked first.
    let mut used = BTreeSet::new();
    for prefix in ["a", "b", "c", "d"] {
        conforms(|| open(&url(prefix), Access::TakeOver).unwrap());
        let has = |server: &RedisServer| server.keys().iter().any(|key| key.starts_with(&format!("{{{prefix}}}:")));
        let owners: Vec<usize> = (0..3).filter(|number| has(&servers[*number])).collect();
        assert_eq!(owners.len(), 1);
        used.extend(owners);
    }
    assert_eq!(used.len(), 3, "other prefixes would be on all three");

    // One that is not told that it is a cluster.
    let plain: Vec<String> = ["a", "b", "c", "d"]
        .iter()
        .filter_map(|prefix| open(&url(prefix).replace("&cluster=true", ""), Access::Read).err())
        .map(|error| error.to_string())
        .collect();
    assert!(!plain.is_empty() && plain.iter().all(|error| error.contains("cluster=true")), "{plain:?}");
}

#[test]
fn names_are_no_part_of_another_key() {
    let server = RedisServer::start(&[]);
    let mut storage = server.open("prefix=a", Access::Write);
    for name in ["", "..", ".", "../secret", "a/b", "a:0", "a}", ".hidden", "nul\0", "ü"] {
        assert!(matches!(storage.put(name, b"x"), Err(CoreError::Storage { .. })), "{name}");
        assert!(matches!(storage.read(name, ByteRange::All), Err(CoreError::Storage { .. })), "{name}");
        assert!(matches!(storage.delete(name), Err(CoreError::Storage { .. })), "{name}");
    }
    assert_eq!(server.keys(), [""; 0]);
}

/// Neither takes memory for what the index claims, nor ends in a panic.
#[test]
fn an_entry_that_claims_too_much_is_damage() {
    let server = RedisServer::start(&[]);
    let mut storage = server.open("prefix=a", Access::Write);
    storage.put("object", &[7; 5000]).unwrap();
    for (entry, part) in [
        ("18446744073709551615:8388608", "entry in the index"),
        ("5000:18446744073709551615", "entry in the index"),
        ("18446744073709551615:18446744073709551615", "entry in the index"),
        ("5000:0", "entry in the index"),
        ("5000:1", "entry in the index"),
        ("8796093022209:8388608", "entry in the index"),
        // As much as an object could have.
        ("8796093022208:8388608", "chunk 0"),
        ("5001:8388608", "chunk 0"),
        ("5000:2500", "chunk 1"),
    ] {
        server.command::<()>(&format!("HSET {{a}}:objects object {entry}"));
        let mut reader = server.open("prefix=a", Access::Read);
        for range in [ByteRange::All, ByteRange::Last { len: u64::MAX }] {
            match reader.read("object", range) {
                Err(CoreError::Damaged { object, part: found, .. }) => {
                    assert_eq!((object.as_str(), found.as_str()), ("object", part), "{entry}");
                }
                other => panic!("{entry}: {:?}", other.map(|bytes| bytes.map(|bytes| bytes.len()))),
            }
        }
    }
    server.command::<()>("HSET {a}:objects object 5000:8388608");
    let mut reader = server.open("prefix=a", Access::Read);
    assert_eq!(reader.read("object", ByteRange::All).unwrap().unwrap(), [7; 5000]);
    // Nor is the server held up by going through the keys of chunks that there cannot be.
    let mut storage = server.open("prefix=a&timeout=2s&retries=1", Access::TakeOver);
    for entry in ["18446744073709551615:1", "18446744073709551615:8388608", "5000:0"] {
        server.command::<()>(&format!("HSET {{a}}:objects object {entry}"));
        storage.delete("object").unwrap();
        assert_eq!(storage.read("object", ByteRange::All).unwrap(), None);
    }
}

#[test]
fn what_is_half_written_goes_with_the_next_writer() {
    let server = RedisServer::start(&[]);
    let mut storage = server.open("prefix=a&chunk=1KiB", Access::Write);
    storage.put("whole", &[7; 5000]).unwrap();
    let whole = server.keys();
    // As a writer leaves it that dies between two parts; one of them of a name that is whole.
    server.command::<()>("HSET {a}:pending half 3000:1024 whole 9000:1024");
    for key in ["{a}:object:half:0", "{a}:object:half:1", "{a}:object:whole:5"] {
        server.command::<()>(&format!("SET {key} bytes"));
    }
    assert_eq!(storage.read("half", ByteRange::All).unwrap(), None);
    assert_eq!(storage.list().unwrap().len(), 1);
    drop(storage);
    let mut reader = server.open("prefix=a", Access::Read);
    assert_eq!(server.keys().len(), whole.len() + 4, "a reader changes nothing");
    server.open("prefix=a", Access::Write);
    assert_eq!(server.keys(), whole);
    assert_eq!(reader.read("whole", ByteRange::All).unwrap().unwrap(), [7; 5000]);
}

#[test]
fn a_storage_that_is_not_there_is_not_read() {
    let server = RedisServer::start(&[]);
    let error = open(&server.url("prefix=none"), Access::Read).unwrap_err();
    assert!(matches!(&error, Error::File { reason, .. } if reason.kind() == std::io::ErrorKind::NotFound), "{error}");
    assert_eq!(server.keys(), [""; 0]);
}

/// When each key ends, of which there are some.
fn ends(server: &RedisServer) -> BTreeMap<String, i64> {
    let keys = server.keys();
    assert!(!keys.is_empty());
    keys.into_iter().map(|key| (key.clone(), server.command(&format!("PEXPIRETIME {key}")))).collect()
}

#[test]
fn no_part_of_a_job_outlives_another() {
    let server = RedisServer::start(&[]);
    let together = || {
        let ends: BTreeSet<i64> = ends(&server).into_values().collect();
        assert_eq!(ends.len(), 1, "{ends:?}");
        *ends.first().unwrap()
    };
    let query = "prefix=a&chunk=1KiB&expire=2s";
    let mut manager = CheckpointManager::open(server.open(query, Access::Write), config()).unwrap();
    let mut state = holder();
    let mut last = together();
    for number in 0..6 {
        checkpoint(&mut manager, &mut state, number);
        let next = together();
        assert!(next >= last, "renewed");
        last = next;
        thread::sleep(Duration::from_millis(3));
    }
    // What is put and never published ends with the rest.
    manager.backend_mut().put("left-behind", &[1; 3000]).unwrap();
    assert_eq!(together(), last);
    wait_for(|| server.keys().is_empty());
    write(&mut state, 9);
    let error = manager.checkpoint(&mut state, None).unwrap_err().to_string();
    assert!(error.contains("the job expired"), "{error}");
    assert_eq!(server.keys(), [""; 0], "nothing of it comes back");

    // A copy puts before it publishes.
    let mut storage = server.open("prefix=b&expire=1h", Access::Write);
    storage.put("first", b"bytes").unwrap();
    assert!(together() > 0);
    assert!(storage.swap_head(None, b"head").unwrap());
    assert!(together() > 0);
    // Opened without, it stays.
    drop(storage);
    let mut storage = server.open("prefix=b", Access::Write);
    assert!(storage.swap_head(Some(b"head"), b"next").unwrap());
    assert_eq!(together(), -1);
}

/// The time that it knows may be earlier than that of the newest head.
#[test]
fn a_writer_that_was_fenced_off_shortens_no_life() {
    let server = RedisServer::start(&[]);
    let mut old = CheckpointManager::open(server.open("prefix=a&expire=60s", Access::Write), config()).unwrap();
    let mut state = holder();
    checkpoint(&mut old, &mut state, 0);
    let mut new = CheckpointManager::open(server.open("prefix=a&expire=1h", Access::TakeOver), config()).unwrap();
    let mut taken = holder();
    new.restore_latest(&mut taken).unwrap();
    checkpoint(&mut new, &mut taken, 1);
    let of_index = |server: &RedisServer| -> BTreeMap<String, i64> {
        ends(server).into_iter().filter(|(key, _)| !key.contains("checkpoint-")).collect()
    };
    let before = of_index(&server);
    write(&mut state, 2);
    let error = old.checkpoint(&mut state, None).unwrap_err().to_string();
    assert!(error.contains("fenced"), "{error}");
    assert_eq!(of_index(&server), before);
}

#[test]
fn a_full_server_keeps_the_last_checkpoint() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let mut manager = CheckpointManager::open(server.open("prefix=a&chunk=64KiB", Access::Write), config()).unwrap();
    let mut state = holder();
    checkpoint(&mut manager, &mut state, 0);
    let good = contents(&state);
    let used: String = server.command("INFO memory");
    let used: u64 = used.lines().find_map(|line| line.strip_prefix("used_memory:")?.parse().ok()).unwrap();
    server.command::<()>(&format!("CONFIG SET maxmemory {}", used + 1_000_000));
    let incompressible: Vec<u64> = (1..400_000_u64).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    state.set("large", &incompressible).unwrap();
    for _ in 0..3 {
        let error = manager.checkpoint(&mut state, None).unwrap_err().to_string();
        assert!(error.contains("raise its maxmemory; the last checkpoint is whole"), "{error}");
    }
    let mut restored = holder();
    manager.restore_latest(&mut restored).unwrap();
    assert_eq!(contents(&restored), good);
    // Another one reads and prunes it.
    server.open("prefix=a", Access::TakeOver);
    assert_eq!(verify(&mut server.open("prefix=a", Access::Read)).unwrap().findings, []);
    server.command::<()>("CONFIG SET maxmemory 0");
    manager.checkpoint(&mut state, None).unwrap();
    manager.restore_latest(&mut restored).unwrap();
    assert_eq!(contents(&restored), contents(&state));
    assert_eq!(server.keys().iter().filter(|key| key.contains("pending")).count(), 0);
}

#[test]
fn a_server_that_evicts_is_warned_about() {
    let server = RedisServer::start(&DURABLE);
    let warnings = |query: &str| server.open(query, Access::TakeOver).warnings().join("\n");
    assert_eq!(warnings("prefix=a"), "");
    server.command::<()>("CONFIG SET maxmemory-policy volatile-lru");
    assert_eq!(warnings("prefix=a"), "");
    assert!(warnings("prefix=a&expire=1h").contains("maxmemory-policy is volatile-lru"));
    server.command::<()>("CONFIG SET maxmemory-policy allkeys-lru");
    assert!(warnings("prefix=a").contains("set it to noeviction"));
    assert!(warnings("prefix=a&wait=2").contains("more replicas than the 0"));
    server.command::<()>("CONFIG SET appendonly no");
    assert!(warnings("prefix=a").contains("appendonly is off"));

    // And what it evicts is missed, and named.
    let mut manager = CheckpointManager::open(server.open("prefix=a", Access::Write), config()).unwrap();
    checkpoint(&mut manager, &mut holder(), 0);
    let chunk = server.keys().into_iter().find(|key| key.contains(":object:")).unwrap();
    server.command::<()>(&format!("UNLINK {chunk}"));
    let report = verify(manager.backend_mut()).unwrap();
    let finding = report.findings[0].error.to_string();
    assert!(finding.contains("checkpoint-0000000000-g1.efx") && finding.contains("evicted"), "{finding}");
    assert!(report.findings.iter().all(|finding| finding.error.is_damage()));
}

#[test]
fn users_without_rights_are_told_which() {
    let server = RedisServer::start(&["--requirepass", "secret"]);
    let place = |user: &str| format!("redis://{user}127.0.0.1:{}/0?prefix=flights&chunk=64KiB", server.port());
    let error = open_error(&place(""));
    assert!(error.contains("the server wants a password"), "{error}");
    for user in [":wrong-one@", "default:wrong-one@", "nobody:wrong-one@"] {
        let error = open_error(&place(user));
        assert!(error.contains("user name or password are wrong") && !error.contains("wrong-one"), "{error}");
    }
    let admin = |command: &str| {
        let client = redis::Client::open(format!("redis://:secret@127.0.0.1:{}/0", server.port())).unwrap();
        let mut words = command.split_whitespace();
        let mut cmd = redis::cmd(words.next().unwrap());
        words.for_each(|word| _ = cmd.arg(word));
        cmd.exec(&mut client.get_connection().unwrap()).unwrap();
    };
    // The line that the documentation shows.
    let source = include_str!("../../../host/src/storage/redis/mod.rs");
    let line = source.split("/// ACL SETUSER").nth(1).unwrap().split("/// ```").next().unwrap();
    let line = format!("ACL SETUSER {}", line.replace("///", " "));
    assert!(line.contains("~{flights}:*") && line.contains("+config|get"), "{line}");
    admin(&line);
    conforms(|| open(&place("flights:PASSWORD@"), Access::TakeOver).unwrap());
    let storage = open(&place("flights:PASSWORD@"), Access::Write).unwrap();
    assert_eq!(storage.durability().persistence, RedisPersistence::Snapshots);
    assert!(matches!(open(&place("flights:PASSWORD@"), Access::Write), Err(Error::Locked { .. })));
    drop(storage);

    // Without the rights of its last line: as well, but nobody is warned.
    admin("ACL SETUSER flights -info -client|setname -client|list -client|id -cluster|slots -config|get");
    let storage = open(&place("flights:PASSWORD@"), Access::Write).unwrap();
    assert_eq!((&storage.durability().persistence, storage.warnings()), (&RedisPersistence::Unknown, &[][..]));
    drop(storage);

    let says_rights = |error: &str| error.contains("lacks a right") && error.contains("~{flights}:*");
    let error = open_error(&place("flights:PASSWORD@").replace("prefix=flights", "prefix=other"));
    assert!(error.contains("lacks a right") && error.contains("~{other}:*"), "{error}");
    // Each of them is needed.
    for command in ["set", "eval", "hset", "exists", "unlink"] {
        admin(&format!("ACL SETUSER flights -{command}"));
        let work = || -> Result<(), Error> {
            let mut storage = open(&place("flights:PASSWORD@"), Access::Write)?;
            storage.put("object", &[1; 100_000])?;
            storage.delete("object")?;
            Ok(())
        };
        let error = work().unwrap_err().to_string();
        assert!(says_rights(&error), "{command}: {error}");
        admin(&format!("ACL SETUSER flights +{command}"));
    }
    // One that only reads.
    admin("ACL SETUSER reader on >r ~{flights}:* resetchannels -@all +exists +getrange +hget +hmget +hgetall");
    let mut storage = open(&place("reader:r@"), Access::Read).unwrap();
    assert_eq!(storage.read("digits", ByteRange::All).unwrap().unwrap(), b"0123456789");
    assert!(!storage.list().unwrap().is_empty() && storage.read_head().unwrap().is_some());
    let error = reason(storage.put("object", b"bytes"));
    assert!(error.contains("opened for reading"), "{error}");
    let error = open(&place("reader:r@"), Access::TakeOver).unwrap_err().to_string();
    assert!(says_rights(&error), "{error}");
}

#[test]
fn wrong_places_are_told_at_once() {
    let server = RedisServer::start(&[]);
    let error = open_error("redis://127.0.0.1:1/0?backoff=1ms");
    assert!(error.contains("see whether the server runs there") && error.contains("127.0.0.1:1"), "{error}");
    let error = open_error(&server.url("").replace("/0?", "/99?"));
    assert!(error.contains("DB index is out of range"), "{error}");
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &server.port().to_string()]);
    let error = open_error(&replica.url("prefix=a&backoff=1ms&retries=2"));
    assert!(error.contains("name its master"), "{error}");
}

fn openssl(directory: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output =
        command.args(arguments.split(' ')).current_dir(directory).output().expect("openssl; tests/run installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn over_tls() {
    let server = RedisServer::start_at(|port, directory| {
        for authority in ["ca", "other"] {
            openssl(
                directory,
                &format!(
                    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={authority} -keyout {authority}.key -out {authority}.pem"
                ),
            );
        }
        openssl(
            directory,
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
        );
        std::fs::write(directory.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        openssl(
            directory,
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
        );
        let file = |name: &str| directory.join(name).display().to_string();
        let (port, cert, key, ca) = (port.to_string(), file("server.pem"), file("server.key"), file("ca.pem"));
        let options = ["--port", "0", "--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key];
        let clients = ["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"];
        options.iter().chain(&clients).map(|option| option.to_string()).collect()
    });
    let place = |host: &str, query: &str| format!("rediss://{host}:{}/0?prefix=a&backoff=1ms&{query}", server.port());
    let file = |name: &str| server.directory().join(name).display().to_string();
    let trusting = format!("tls_ca={}", file("ca.pem"));
    conforms(|| open(&place("127.0.0.1", &trusting), Access::TakeOver).unwrap());
    open(&place("localhost", &trusting), Access::Read).unwrap();
    open(&place("127.0.0.1", "tls_insecure=true"), Access::Read).unwrap();
    for (host, query) in [("127.0.0.1", ""), ("127.0.0.1", &*format!("tls_ca={}", file("other.pem")))] {
        let error = open_error(&place(host, query));
        assert!(error.contains("name the file of its authority with tls_ca=FILE"), "{error}");
    }
    let error = open_error(&place("127.0.0.1", "tls_ca=/no/such.pem"));
    assert!(error.contains("/no/such.pem"), "{error}");
    // A server without TLS, and one with it asked without.
    assert!(open(&place("127.0.0.1", "").replace("rediss", "redis"), Access::Read).is_err());
}

/// Keys that the retained checkpoints of a storage need, and no others.
fn needed_keys(storage: &mut RedisBackend, chunk_bytes: u64) -> Vec<String> {
    let head = eventflux::read_head(storage).unwrap();
    let mut needed = BTreeSet::new();
    for entry in &head.entries {
        needed
            .extend(read_manifest(storage, entry.object).unwrap().needed_objects().iter().map(|object| object.name()));
    }
    let lengths: BTreeMap<String, u64> =
        storage.list().unwrap().into_iter().map(|info| (info.name, info.len)).collect();
    let chunks = |name: &String| lengths[name].div_ceil(chunk_bytes);
    let mut keys: Vec<String> = ["{a}:head", "{a}:objects"].map(String::from).into();
    keys.extend(needed.iter().flat_map(|name| (0..chunks(name)).map(move |at| format!("{{a}}:object:{name}:{at}"))));
    keys.sort_unstable();
    keys
}

#[test]
fn ten_thousand_checkpoints_leave_only_what_is_needed() {
    let server = RedisServer::start(&[]);
    let query = "prefix=a&chunk=1KiB";
    let mut manager = CheckpointManager::open(server.open(query, Access::Write), config()).unwrap();
    let mut state = StateHolder::builder("retention").key_groups(8).build().unwrap();
    for number in 0..10_000_u64 {
        let value = vec![number; number as usize % 97 + 1];
        state.set((number * 7 % 50).to_le_bytes(), &value).unwrap();
        let label = (number % 2500 == 1000).then(|| format!("at {number}"));
        manager.checkpoint(&mut state, label.as_deref()).unwrap();
        if number % 1000 == 999 {
            let needed = needed_keys(manager.backend_mut(), 1024);
            assert_eq!(server.keys(), needed, "after checkpoint {number}");
        }
    }
    assert_eq!(manager.list().len(), 7);
    manager.prune(Retention { max_retained: 1 }).unwrap();
    let needed = needed_keys(manager.backend_mut(), 1024);
    assert_eq!(server.keys(), needed);
    println!("10,000 checkpoints: {} keys for {} retained", needed.len(), manager.list().len());
}
