//! Redis servers that are killed, stopped, promoted, and that lose answers; writers that are taken over. Whatever
//! was acknowledged is there, or its loss is told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::lossy::{Loss, Lossy};
use crate::common::redis_server::{DURABLE, Random, RedisServer, open, wait_for};
use crate::common::states::{Contents, contents, holder, write};
use eventflux::storage::{Access, RedisBackend};
use eventflux::{
    Backend, CheckpointManager, Error, ManagerConfig, Retention, Selector, StateHolder, read_head, verify,
};
use eventflux_core::{ByteRange, Error as CoreError, Head};
use redis::cmd;

fn config() -> ManagerConfig {
    ManagerConfig { retention: Retention { max_retained: 3 }, ..ManagerConfig::default() }
}

/// How often what is random is done.
fn times(number: u64) -> u64 {
    if std::env::var_os("EVENTFLUX_LONG").is_some() { number * 5 } else { number }
}

type Manager = CheckpointManager<RedisBackend>;

/// A state after that many steps, each of which is one call of [`write`].
fn state_after(steps: u64) -> StateHolder {
    let mut state = holder();
    (0..steps).for_each(|number| step(&mut state, number));
    state
}

fn step(state: &mut StateHolder, number: u64) {
    // Its numbers are small.
    write(state, number % 252);
    state.set("steps", &(number + 1)).unwrap();
}

fn steps(state: &StateHolder) -> u64 {
    state.get("steps").unwrap().unwrap_or(0)
}

fn newest(storage: &mut RedisBackend) -> (u64, Contents) {
    let mut restored = holder();
    eventflux::restore(storage, &mut restored, Selector::Latest, Default::default()).unwrap();
    (steps(&restored), contents(&restored))
}

/// Asserts that the newest checkpoint is that of as many steps as it says, and all of it whole; as many.
fn check(storage: &mut RedisBackend) -> u64 {
    let report = verify(storage).unwrap();
    assert_eq!(report.findings, []);
    let (found, held) = newest(storage);
    assert_eq!(held, contents(&state_after(found)));
    found
}

#[track_caller]
fn assert_fenced<T: std::fmt::Debug>(outcome: eventflux::Result<T>, generations: (u64, u64)) {
    match outcome {
        Err(Error::Core(CoreError::Fenced { held, current })) => assert_eq!((held, current), generations),
        other => panic!("not fenced: {other:?}"),
    }
}

#[test]
fn killed_anywhere_nothing_acknowledged_is_lost() {
    let mut server = RedisServer::start(&DURABLE);
    let kills = times(100);
    let (acknowledged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let url = server.url("prefix=a&chunk=1KiB&retries=1000&backoff=1ms&backoff_max=20ms");
    let mut storage = open(&url, Access::Write).unwrap();
    storage.put("other", &[5; 100_000]).unwrap();
    let mut manager = CheckpointManager::open(storage, config()).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut state = holder();
            for number in 0.. {
                step(&mut state, number);
                manager.checkpoint(&mut state, None).unwrap();
                acknowledged.store(number + 1, Ordering::SeqCst);
                if done.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let mut random = Random(1);
        for kill in 0..kills {
            let before = acknowledged.load(Ordering::SeqCst);
            wait_for(|| acknowledged.load(Ordering::SeqCst) > before || writer.is_finished());
            thread::sleep(Duration::from_micros(random.below(20_000)));
            server.kill();
            let acknowledged = acknowledged.load(Ordering::SeqCst);
            server.start_again(&[]);
            let mut reader = server.open("prefix=a", Access::Read);
            let head = read_head(&mut reader).unwrap();
            assert!(head.latest.is_some_and(|latest| latest + 1 >= acknowledged), "kill {kill}: {head:?}");
        }
        done.store(true, Ordering::SeqCst);
    });
    let mut reader = server.open("prefix=a", Access::Read);
    let found = check(&mut reader);
    assert_eq!(found, acknowledged.load(Ordering::SeqCst));
    assert_eq!(reader.read("other", ByteRange::All).unwrap().unwrap(), [5; 100_000]);
    // Each was published once: one swap a checkpoint, and one to open.
    assert_eq!(server.command::<u64>("HGET {a}:head swaps"), found + 1);
    println!("redis: killed {kills} times, {found} checkpoints acknowledged, none lost");
}

#[test]
fn a_lost_answer_after_a_swap_is_found_to_be_published() {
    const STEPS: u64 = 72;
    let server = RedisServer::start(&[]);
    let lossy = Lossy::to(server.port());
    let url = format!("redis://127.0.0.1:{}/0?prefix=a&backoff=1ms", lossy.port());
    let storage = open(&url, Access::Write).unwrap();
    let swaps = || server.command::<u64>("HGET {a}:head swaps");
    // To open, to put, to publish, to delete.
    lossy.arm(b"'record', ARGV[5]", Loss::Answer);
    let mut manager = CheckpointManager::open(storage, config()).unwrap();
    assert!(lossy.is_disarmed());
    assert_eq!((manager.generation(), swaps()), (1, 1));
    let mut state = holder();
    let mut deletes = 0;
    for number in 0..STEPS {
        let parts: [&[u8]; 3] = [b"SET", b"'record', ARGV[5]", b"'HGET', index"];
        lossy.arm(parts[number as usize % 3], Loss::Answer);
        step(&mut state, number);
        manager.checkpoint(&mut state, None).unwrap();
        // Not every checkpoint deletes.
        assert!(lossy.is_disarmed() || number % 3 == 2, "{number}");
        deletes += u64::from(lossy.is_disarmed() && number % 3 == 2);
        assert_eq!(swaps(), number + 2);
    }
    assert!(deletes > 0);
    assert_eq!(check(manager.backend_mut()), STEPS);
    // The same where the request is lost.
    for number in STEPS..STEPS + 6 {
        lossy.arm([&b"SET"[..], b"'record', ARGV[5]"][number as usize % 2], Loss::Request(Box::new(|| {})));
        step(&mut state, number);
        manager.checkpoint(&mut state, None).unwrap();
        assert!(lossy.is_disarmed());
        assert_eq!(swaps(), number + 2);
    }
    assert_eq!(check(manager.backend_mut()), STEPS + 6);
    assert!(verify(manager.backend_mut()).unwrap().unneeded.is_empty());
}

#[test]
fn of_two_that_write_the_same_head_one_did() {
    let server = RedisServer::start(&[]);
    let lossy = Lossy::to(server.port());
    let url = format!("redis://127.0.0.1:{}/0?prefix=a&backoff=1ms", lossy.port());
    let mut first = open(&url, Access::TakeOver).unwrap();
    let mut second = server.open("prefix=a", Access::TakeOver);
    let meanwhile = move || assert!(second.swap_head(None, b"the same").unwrap());
    lossy.arm(b"'record', ARGV[5]", Loss::Request(Box::new(meanwhile)));
    assert!(!first.swap_head(None, b"the same").unwrap(), "it is the other's");
    // Two writers that open at one moment: one of them has the generation.
    let mut second = server.open("prefix=b", Access::TakeOver);
    let head = Head { generation: 1, ..Head::default() }.to_bytes();
    let meanwhile = move || assert!(second.swap_head(None, &head).unwrap());
    lossy.arm(b"'record', ARGV[5]", Loss::Request(Box::new(meanwhile)));
    let first = open(&url.replace("prefix=a", "prefix=b"), Access::TakeOver).unwrap();
    assert_fenced(CheckpointManager::open(first, config()), (1, 1));
}

#[test]
fn a_server_that_hangs_is_waited_for_and_given_up() {
    let server = RedisServer::start(&DURABLE);
    let query = "prefix=a&timeout=1s&connect_timeout=1s&retries=2&backoff=10ms";
    let mut manager = CheckpointManager::open(server.open(query, Access::Write), config()).unwrap();
    let mut state = holder();
    for number in 0..3 {
        step(&mut state, number);
        manager.checkpoint(&mut state, None).unwrap();
    }
    step(&mut state, 3);
    server.pause();
    let error = manager.checkpoint(&mut state, None).unwrap_err().to_string();
    assert!(error.contains("after 3 attempts") && error.contains("does not answer"), "{error}");
    server.resume();
    // What it was sent it does now, all at once; it is still the checkpoint before, or one that is whole.
    assert!((3..=4).contains(&check(&mut server.open("prefix=a", Access::Read))));
    manager.checkpoint(&mut state, None).unwrap();
    assert_eq!(check(manager.backend_mut()), 4);

    // Stopped while it is written to, whenever, and going on before the patience is at its end.
    let query = "prefix=a&timeout=100ms&connect_timeout=5s&retries=1000&backoff=1ms&backoff_max=10ms";
    let mut manager = CheckpointManager::open(server.open(query, Access::TakeOver), config()).unwrap();
    manager.restore_latest(&mut state).unwrap();
    let done = AtomicBool::new(false);
    let last = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 4;
            while !done.load(Ordering::SeqCst) {
                step(&mut state, number);
                manager.checkpoint(&mut state, None).unwrap();
                number += 1;
            }
            number
        });
        let mut random = Random(2);
        for _ in 0..times(20) {
            thread::sleep(Duration::from_millis(random.below(30)));
            server.pause();
            thread::sleep(Duration::from_millis(120 + random.below(120)));
            server.resume();
        }
        done.store(true, Ordering::SeqCst);
        writer.join().unwrap()
    });
    assert_eq!(check(&mut server.open("prefix=a", Access::Read)), last);
    let mut pruned = CheckpointManager::open(server.open("prefix=a", Access::TakeOver), config()).unwrap();
    pruned.prune(config().retention).unwrap();
    assert!(verify(pruned.backend_mut()).unwrap().unneeded.is_empty());
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives() {
    let server = RedisServer::start(&[]);
    let mut first = CheckpointManager::open(server.open("prefix=a", Access::Write), config()).unwrap();
    let Err(Error::Locked { path, writer: by }) = open(&server.url("prefix=a"), Access::Write) else {
        panic!("not refused")
    };
    assert!(path.display().to_string().contains("prefix=a") && by.contains("from 127.0.0.1:"), "{by}");
    server.open("prefix=other", Access::Write);
    // It keeps its place when its connection breaks.
    server.command::<i64>("CLIENT KILL TYPE normal");
    let mut state = holder();
    step(&mut state, 0);
    first.checkpoint(&mut state, None).unwrap();
    assert!(matches!(open(&server.url("prefix=a"), Access::Write), Err(Error::Locked { .. })));
    drop(first);
    let second = CheckpointManager::open(server.open("prefix=a", Access::Write), config()).unwrap();
    assert_eq!(second.generation(), 2);
}

#[test]
fn a_zombie_that_wakes_after_a_take_over_changes_nothing() {
    let server = RedisServer::start(&[]);
    let mut zombie = CheckpointManager::open(server.open("prefix=a&chunk=1KiB", Access::Write), config()).unwrap();
    let mut state = holder();
    for number in 0..3 {
        step(&mut state, number);
        zombie.checkpoint(&mut state, None).unwrap();
    }
    step(&mut state, 3);
    for generation in 2..6 {
        let storage = server.open("prefix=a&chunk=1KiB", Access::TakeOver);
        let mut next = CheckpointManager::open(storage, config()).unwrap();
        let mut of_next = holder();
        next.restore_latest(&mut of_next).unwrap();
        step(&mut of_next, generation + 1);
        next.checkpoint(&mut of_next, None).unwrap();
        let head = next.backend_mut().read_head().unwrap();
        let keys = server.keys();
        assert_fenced(zombie.checkpoint(&mut state, None), (1, generation));
        assert_fenced(zombie.checkpoint(&mut state, Some("zombie")), (1, generation));
        assert_fenced(zombie.prune(Retention { max_retained: 1 }), (1, generation));
        assert_eq!(next.backend_mut().read_head().unwrap(), head);
        assert!(keys.iter().all(|key| server.keys().contains(key)), "it deleted something");
        next.prune(config().retention).unwrap();
        assert_eq!(server.keys(), keys, "its orphans go");
        assert_eq!(check(next.backend_mut()), generation + 2);
    }
}

/// The server loses the head that the first writer opened with, and gives the second one the same generation: the names
/// of their objects are the same.
#[test]
fn a_generation_that_is_given_twice() {
    let server = RedisServer::start(&[]);
    let url = "prefix=a&chunk=1KiB";
    let mut state = holder();
    let mut before = CheckpointManager::open(server.open(url, Access::Write), config()).unwrap();
    step(&mut state, 0);
    before.checkpoint(&mut state, None).unwrap();
    drop(before);
    let head: Vec<u8> = server.command("DUMP {a}:head");
    let mut first = CheckpointManager::open(server.open(url, Access::Write), config()).unwrap();
    first.restore_latest(&mut state).unwrap();
    cmd("RESTORE").arg("{a}:head").arg(0).arg(head).arg("REPLACE").exec(&mut server.connection()).unwrap();
    let mut second = CheckpointManager::open(server.open(url, Access::TakeOver), config()).unwrap();
    assert_eq!(first.generation(), second.generation());
    let mut of_second = holder();
    second.restore_latest(&mut of_second).unwrap();
    (1..6).for_each(|number| step(&mut of_second, number));
    second.checkpoint(&mut of_second, None).unwrap();
    let objects = second.backend_mut().list().unwrap();

    step(&mut state, 1);
    for _ in 0..2 {
        let error = first.checkpoint(&mut state, None).unwrap_err().to_string();
        assert!(error.contains("another writer has the head, with the generation of this one"), "{error}");
    }
    assert_eq!(second.backend_mut().list().unwrap(), objects);
    assert_eq!(check(second.backend_mut()), 6);
    step(&mut of_second, 6);
    second.checkpoint(&mut of_second, None).unwrap();
    assert_eq!(check(second.backend_mut()), 7);
}

#[test]
fn a_zombie_that_writes_in_parts_leaves_nothing() {
    let server = RedisServer::start(&[]);
    let lossy = Lossy::to(server.port());
    let url = format!("redis://127.0.0.1:{}/0?prefix=a&chunk=1KiB&backoff=1ms", lossy.port());
    let mut zombie = open(&url, Access::Write).unwrap();
    // It sleeps before its fourth part; meanwhile another writer clears away what it has written.
    let place = server.url("prefix=a");
    let meanwhile = move || drop(open(&place, Access::TakeOver).unwrap());
    lossy.arm(b"{a}:object:large:3", Loss::Request(Box::new(meanwhile)));
    zombie.put("large", &[9; 5000]).unwrap();
    assert!(lossy.is_disarmed());
    assert_eq!(zombie.read("large", ByteRange::All).unwrap().unwrap(), [9; 5000]);
    assert_eq!(server.keys().len(), 6, "{:?}", server.keys());
    zombie.delete("large").unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

/// A master, and a replica that follows it.
fn pair() -> [RedisServer; 2] {
    let master = RedisServer::start(&DURABLE);
    let replica =
        RedisServer::start(&[&DURABLE[..], &["--replicaof", "127.0.0.1", &master.port().to_string()]].concat());
    for server in [&master, &replica] {
        server.command::<()>("CONFIG SET repl-diskless-sync-delay 0");
    }
    follows(&replica);
    [master, replica]
}

fn follows(replica: &RedisServer) {
    wait_for(|| replica.command::<String>("INFO replication").contains("master_link_status:up"));
}

#[test]
fn a_replica_is_promoted_and_nothing_acknowledged_is_lost() {
    let mut servers = pair();
    let ports = [servers[0].port(), servers[1].port()];
    let options = "prefix=a&wait=1&wait_timeout=1s&retries=1000&backoff=1ms&backoff_max=20ms";
    let url = format!("redis://127.0.0.1:{},127.0.0.1:{}/0?{options}", ports[0], ports[1]);
    let (acknowledged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let promotions = times(8);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut refused = 0;
            while !done.load(Ordering::SeqCst) {
                refused += u64::from(work(&url, &acknowledged, &done).is_err());
            }
            refused
        });
        let mut random = Random(3);
        for promotion in 0..promotions {
            let before = acknowledged.load(Ordering::SeqCst);
            wait_for(|| acknowledged.load(Ordering::SeqCst) > before + 2 || writer.is_finished());
            thread::sleep(Duration::from_millis(random.below(30)));
            let (old, new) = (promotion as usize % 2, 1 - promotion as usize % 2);
            servers[old].kill();
            let known = acknowledged.load(Ordering::SeqCst);
            servers[new].command::<()>("REPLICAOF NO ONE");
            let found = check(&mut servers[new].open("prefix=a", Access::Read));
            assert!(found >= known, "promotion {promotion}: {found} of {known}");
            servers[old].start_again(&["--replicaof", "127.0.0.1", &ports[new].to_string()]);
            servers[old].command::<()>("CONFIG SET repl-diskless-sync-delay 0");
            follows(&servers[old]);
        }
        done.store(true, Ordering::SeqCst);
        let refused = writer.join().unwrap();
        println!("redis: {promotions} promotions, {refused} times not acknowledged");
    });
    let newest = &servers[promotions as usize % 2];
    assert!(check(&mut newest.open("prefix=a", Access::Read)) >= acknowledged.load(Ordering::SeqCst));
}

/// Writes checkpoints from the newest on, until it may end or one is not acknowledged.
fn work(url: &str, acknowledged: &AtomicU64, done: &AtomicBool) -> eventflux::Result<()> {
    let mut manager: Manager = CheckpointManager::open(open(url, Access::TakeOver)?, config())?;
    let mut state = holder();
    if manager.latest().is_some() {
        manager.restore_latest(&mut state)?;
    }
    while !done.load(Ordering::SeqCst) {
        let number = steps(&state);
        step(&mut state, number);
        manager.checkpoint(&mut state, None)?;
        assert_eq!(manager.backend_mut().durability().replicas, 1);
        let before = acknowledged.swap(number + 1, Ordering::SeqCst);
        assert!(number >= before, "what was acknowledged is gone: {before} after {number}");
    }
    Ok(())
}

#[test]
fn what_a_promoted_replica_does_not_have_is_missed() {
    let [mut master, replica] = pair();
    let ports = [master.port(), replica.port()];
    let url = format!("redis://127.0.0.1:{},127.0.0.1:{}/0?prefix=a&backoff=1ms", ports[0], ports[1]);
    let mut manager = CheckpointManager::open(open(&url, Access::Write).unwrap(), config()).unwrap();
    let mut state = holder();
    for number in 0..3 {
        step(&mut state, number);
        manager.checkpoint(&mut state, None).unwrap();
    }
    assert_eq!(manager.backend_mut().durability().replicas, 0);
    wait_for(|| replica.command::<Option<u64>>("HGET {a}:head swaps") == Some(4));
    let mut put_only = open(&url.replace("prefix=a", "prefix=b"), Access::Write).unwrap();
    assert!(put_only.swap_head(None, b"head").unwrap());
    wait_for(|| replica.command::<u64>("EXISTS {b}:head") == 1);
    // From here on the replica hears nothing.
    replica.command::<()>("REPLICAOF NO ONE");
    step(&mut state, 3);
    manager.checkpoint(&mut state, None).unwrap();
    put_only.put("object", b"bytes").unwrap();
    master.kill();
    step(&mut state, 4);
    let error = manager.checkpoint(&mut state, None).unwrap_err().to_string();
    assert!(error.contains("the head went back, from write 5 to write 4"), "{error}");
    let error = manager.prune(config().retention).unwrap_err().to_string();
    assert!(error.contains("went back"), "{error}");
    // The head is as expected there, but what it would name is not.
    let error = put_only.swap_head(Some(b"head"), b"names object").unwrap_err().to_string();
    assert!(error.contains("object was put and acknowledged, and is not there"), "{error}");
    assert_eq!(put_only.read_head().unwrap().unwrap(), b"head");
    // Opened again, it goes on from the newest that is left.
    drop(manager);
    let mut manager = CheckpointManager::open(open(&url, Access::Write).unwrap(), config()).unwrap();
    assert_eq!(check(manager.backend_mut()), 3);
    manager.restore_latest(&mut state).unwrap();
    step(&mut state, 3);
    manager.checkpoint(&mut state, None).unwrap();
    assert_eq!(check(manager.backend_mut()), 4);
}

#[test]
fn two_masters_are_refused() {
    let [first, second] = pair();
    let url = |one: &RedisServer, two: &RedisServer| {
        format!("redis://127.0.0.1:{},127.0.0.1:{}/0?prefix=a&backoff=1ms", one.port(), two.port())
    };
    // Whichever comes first, it is the master that is used.
    open(&url(&first, &second), Access::Write).unwrap().put("one", b"bytes").unwrap();
    open(&url(&second, &first), Access::Write).unwrap().put("two", b"bytes").unwrap();
    second.command::<()>("REPLICAOF NO ONE");
    let error = open(&url(&first, &second), Access::Write).unwrap_err().to_string();
    assert!(error.contains("both say that they are the master"), "{error}");
}

#[test]
fn too_few_replicas_are_no_acknowledgement() {
    let [server, mut replica] = pair();
    let query = "prefix=a&wait=1&wait_timeout=5s";
    let mut manager = CheckpointManager::open(server.open(query, Access::Write), config()).unwrap();
    let mut state = holder();
    step(&mut state, 0);
    manager.checkpoint(&mut state, None).unwrap();
    assert_eq!(manager.backend_mut().durability().replicas, 1);
    replica.kill();
    step(&mut state, 1);
    let error = manager.checkpoint(&mut state, None).unwrap_err().to_string();
    assert!(error.contains("only 0 of 1 replicas acknowledged it within 5s"), "{error}");
    assert_eq!(check(&mut server.open("prefix=a", Access::Read)), 1);
    replica.start_again(&[]);
    follows(&replica);
    // The link is up before the first acknowledgement comes over it.
    wait_for(|| manager.checkpoint(&mut state, None).is_ok());
    assert_eq!(check(&mut replica.open("prefix=a", Access::Read)), 2);
}

/// For a moment the server has no room for another client: it says so in answer to the password, or to whatever comes first.
#[test]
fn a_server_that_has_no_room_for_a_moment() {
    for (who, database, options) in [("", 0, vec![]), (":pw@", 0, vec!["--requirepass", "pw"]), ("", 2, vec![])] {
        let server = RedisServer::start(&options);
        let address = |database| format!("redis://{who}127.0.0.1:{}/{database}", server.port());
        let mut storage =
            open(&format!("{}?prefix=a&retries=20&backoff=50ms", address(database)), Access::Write).unwrap();
        storage.put("x", b"1").unwrap();
        let mut admin = redis::Client::open(address(0)).unwrap().get_connection().unwrap();
        cmd("CONFIG").arg("SET").arg("maxclients").arg(1).exec(&mut admin).unwrap();
        cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").exec(&mut admin).unwrap();
        let told = open(&format!("{}?prefix=b&retries=0", address(database)), Access::Write).unwrap_err().to_string();
        assert!(told.contains("maxclients"), "{told}");
        let later = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            cmd("CONFIG").arg("SET").arg("maxclients").arg(100).exec(&mut admin).unwrap();
        });
        storage.put("y", b"1").unwrap();
        later.join().unwrap();
    }
}

/// However many hosts there are: a try is one of all of them.
#[test]
fn the_master_is_the_last_of_many_hosts() {
    let master = RedisServer::start(&[]);
    let port = master.port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]);
    wait_for(|| master.command::<String>("INFO replication").contains("state=online"));
    let host = |server: &RedisServer| format!("127.0.0.1:{}", server.port());
    let url =
        |hosts: &[String], retries| format!("redis://{}/0?prefix=a&retries={retries}&backoff=1ms", hosts.join(","));
    let dead = (1..6).map(|port| format!("127.0.0.1:{port}"));
    let hosts: Vec<String> = dead.chain([host(&replica), host(&master)]).collect();
    let mut storage = open(&url(&hosts, 0), Access::Write).unwrap();
    storage.put("x", b"1").unwrap();
    drop(storage);
    // The next of them is no master, and those behind it are dead.
    let hosts: Vec<String> = hosts.into_iter().rev().collect();
    let mut storage = open(&url(&hosts, 1), Access::Write).unwrap();
    master.command::<u64>("CLIENT KILL TYPE normal SKIPME yes");
    storage.put("y", b"1").unwrap();
}
