//! A Redis Cluster that changes while it is written to: a master fails over, a slot moves.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::common::redis_server::{RedisServer, cluster, cluster_server, meet, open, wait_for};
use crate::common::states::{contents, holder, write};
use eventflux::storage::{Access, RedisBackend};
use eventflux::{CheckpointManager, ManagerConfig, Retention, Selector, verify};

fn config() -> ManagerConfig {
    ManagerConfig { retention: Retention { max_retained: 3 }, ..ManagerConfig::default() }
}

fn follows(replica: &RedisServer) {
    wait_for(|| replica.command::<String>("INFO replication").contains("master_link_status:up"));
}

/// Asserts that the newest checkpoint is that of so many steps.
fn check(storage: &mut RedisBackend, steps: u64) {
    assert_eq!(verify(storage).unwrap().findings, []);
    let (mut restored, mut expected) = (holder(), holder());
    eventflux::restore(storage, &mut restored, Selector::Latest, Default::default()).unwrap();
    (0..steps).for_each(|number| write(&mut expected, number % 252));
    assert_eq!(contents(&restored), contents(&expected));
}

/// Which of the servers has the job.
fn owner(servers: &[RedisServer]) -> usize {
    (0..servers.len()).find(|number| !servers[*number].keys().is_empty()).unwrap()
}

#[test]
fn a_cluster_fails_over() {
    let mut servers = cluster();
    servers.push(cluster_server());
    let seed = format!("redis://127.0.0.1:{}/0?prefix=a&cluster=true&retries=1000&backoff_max=50ms", servers[0].port());
    let mut manager = CheckpointManager::open(open(&seed, Access::Write).unwrap(), config()).unwrap();
    let owner = owner(&servers);
    let replica = &servers[3];
    meet(replica, &servers[0]);
    let id: String = servers[owner].command("CLUSTER MYID");
    wait_for(|| replica.try_command::<()>(&format!("CLUSTER REPLICATE {id}")).is_ok());
    follows(replica);
    let mut state = holder();
    for number in 0..6 {
        write(&mut state, number);
        manager.checkpoint(&mut state, None).unwrap();
        if number == 2 {
            // Asked for: it gives the slots away, and is a replica from then on.
            wait_for(|| servers[3].try_command::<()>("CLUSTER FAILOVER").is_ok());
            wait_for(|| servers[3].command::<String>("INFO replication").contains("role:master"));
        } else if number == 3 {
            follows(&servers[owner]);
            let mut replica = servers[owner].connection();
            redis::cmd("READONLY").exec(&mut replica).unwrap();
            let swaps = redis::cmd("HGET").arg("{a}:head").arg("swaps").clone();
            wait_for(|| swaps.query::<u64>(&mut replica).unwrap() == 5);
            servers[3].kill();
        }
    }
    assert_eq!(servers[owner].command::<u64>("HGET {a}:head swaps"), 7);
    let other = format!("redis://127.0.0.1:{}/0?prefix=a&cluster=true", servers[(owner + 1) % 3].port());
    check(&mut open(&other, Access::Read).unwrap(), 6);
}

#[test]
fn a_slot_moves_while_it_is_written() {
    let servers = cluster();
    let url = format!(
        "redis://127.0.0.1:{}/0?prefix=a&cluster=true&chunk=1KiB&retries=1000&backoff=1ms&backoff_max=20ms",
        servers[0].port()
    );
    let mut manager = CheckpointManager::open(open(&url, Access::Write).unwrap(), config()).unwrap();
    let (acknowledged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut state = holder();
            for number in 0.. {
                write(&mut state, number % 252);
                manager.checkpoint(&mut state, None).unwrap();
                acknowledged.store(number + 1, Ordering::SeqCst);
                if done.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        for _ in 0..3 {
            let before = acknowledged.load(Ordering::SeqCst);
            wait_for(|| acknowledged.load(Ordering::SeqCst) > before + 2 || writer.is_finished());
            let from = owner(&servers);
            move_slot(&servers, from, (from + 1) % 3);
        }
        done.store(true, Ordering::SeqCst);
    });
    let steps = acknowledged.load(Ordering::SeqCst);
    check(&mut open(&url, Access::Read).unwrap(), steps);
}

/// Moves the slot of the job, key by key, as `redis-cli --cluster reshard` does.
fn move_slot(servers: &[RedisServer], from: usize, to: usize) {
    let (source, target) = (&servers[from], &servers[to]);
    let slot: u64 = source.command("CLUSTER KEYSLOT {a}:head");
    let [source_id, target_id]: [String; 2] = [source, target].map(|server| server.command("CLUSTER MYID"));
    target.command::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}"));
    source.command::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}"));
    loop {
        let keys: Vec<String> = source.command(&format!("CLUSTER GETKEYSINSLOT {slot} 3"));
        if keys.is_empty() {
            break;
        }
        source.command::<()>(&format!("MIGRATE 127.0.0.1 {}  0 10000 KEYS {}", target.port(), keys.join(" ")));
    }
    target.command::<()>(&format!("CLUSTER SETSLOT {slot} NODE {target_id}"));
    for server in servers.iter().filter(|server| server.port() != target.port()) {
        server.command::<()>(&format!("CLUSTER SETSLOT {slot} NODE {target_id}"));
    }
}
