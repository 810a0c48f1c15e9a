//! A storage in a bucket, on a real server: the contract, long lists, large objects, and what errors
//! say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::common::conformance::{conforms, only_reads};
use crate::common::s3_server::{Fault, Proxy, choose_cryptography, server};
use crate::common::states::contents;
use eventflux::storage::ObjectStoreBackend;
use eventflux::{Backend, CheckpointManager, ManagerConfig, Retention, StateHolder, read_manifest, verify};
use eventflux_core::{ByteRange, Error, OpenWriter, drive};
use object_store::memory::InMemory;

fn is_long() -> bool {
    std::env::var_os("EVENTFLUX_LONG").is_some()
}

#[test]
fn it_keeps_the_contract() {
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    conforms(|| proxy.storage(&bucket, "deep/down", 0));
    let outside = server().keys(&bucket, "").into_iter().filter(|key| !key.starts_with("deep/down/"));
    assert_eq!(outside.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn so_does_one_at_the_root_of_a_bucket_and_one_in_memory() {
    let memory = Arc::new(InMemory::new());
    conforms(|| ObjectStoreBackend::with_store(Arc::<InMemory>::clone(&memory), "flights").unwrap());
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    let mut storage = proxy.storage(&bucket, "", 3);
    storage.put("a", b"1").unwrap();
    assert!(storage.swap_head(None, b"head").unwrap());
    assert_eq!(server().keys(&bucket, ""), ["head", "objects/a"]);
    assert_eq!(storage.list().unwrap().len(), 1);
}

#[test]
fn a_reader_cannot_cut_the_writer_off() {
    let memory = Arc::new(InMemory::new());
    let open = || ObjectStoreBackend::with_store(Arc::<InMemory>::clone(&memory), "flights").unwrap();
    let mut manager = CheckpointManager::open(open(), ManagerConfig::default()).unwrap();
    let mut state = StateHolder::builder("orders").build().unwrap();
    manager.checkpoint(&mut state, None).unwrap();
    only_reads(open().for_reading());
    manager.checkpoint(&mut state, None).unwrap();
}

#[test]
fn large_objects_go_up_in_parts_and_come_back_in_ranges() {
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    let mut storage = proxy.storage(&bucket, "large", 0);
    let bytes: Vec<u8> = (0..40_000_001_u32).map(|at| (at.wrapping_mul(at) >> 9) as u8).collect();
    storage.put("large", &bytes).unwrap();
    let (requests, _) = proxy.calm();
    assert!(requests > 6, "{requests}: it must have gone up in parts");
    assert!(storage.read("large", ByteRange::All).unwrap().unwrap() == bytes);
    let len = bytes.len() as u64;
    for (offset, wanted) in [(0, 20_000_000), (8 * 1024 * 1024 - 1, 2), (len - 17_000_000, u64::MAX), (len - 1, 1)] {
        let expected = &bytes[offset as usize..(offset.saturating_add(wanted)).min(len) as usize];
        let found = storage.read("large", ByteRange::At { offset, len: wanted }).unwrap().unwrap();
        assert!(found == expected, "{offset}, {wanted}");
    }
    let last = storage.read("large", ByteRange::Last { len: 20_000_000 }).unwrap().unwrap();
    assert!(last == bytes[bytes.len() - 20_000_000..]);
    // Again, as after an answer that was lost; and another one of that name.
    storage.put("large", &bytes).unwrap();
    let error = storage.put("large", &bytes[1..]).unwrap_err().to_string();
    assert!(error.contains("names are written once"), "{error}");
    assert_eq!(server().uploads(&bucket), [""; 0]);
    storage.delete("large").unwrap();
    assert_eq!(server().keys(&bucket, ""), [""; 0]);
}

#[test]
fn of_an_upload_that_fails_no_part_stays() {
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    let mut storage = proxy.storage(&bucket, "large", 0);
    let bytes = vec![7; 20_000_000];
    // The third part is refused for good.
    proxy.plan(|seen| seen.target.contains("partNumber=3").then_some(Fault::Says(403, "AccessDenied")));
    let error = storage.put("large", &bytes).unwrap_err().to_string();
    assert!(error.contains("AccessDenied") && error.contains("s3:PutObject"), "{error}");
    proxy.calm();
    assert_eq!((server().uploads(&bucket), server().keys(&bucket, "")), (vec![], vec![]));
    // Each request of an upload goes wrong once, in each way.
    for fault in
        [Fault::Says(503, "SlowDown"), Fault::Closes, Fault::LosesAnswer, Fault::DoesAndSays(500, "InternalError")]
    {
        let mut met = BTreeSet::new();
        proxy.plan(move |seen| {
            // Of another upload it is the same request.
            let request = seen.target.split("uploadId").next().map(|target| format!("{} {target}", seen.method));
            (seen.method != "HEAD" && met.insert(request)).then_some(fault)
        });
        storage.put("large", &bytes).unwrap();
        let (_, faults) = proxy.calm();
        assert!(faults >= 4, "{fault:?}: {faults}");
        assert!(storage.read("large", ByteRange::All).unwrap().unwrap() == bytes, "{fault:?}");
        storage.delete("large").unwrap();
    }
    // Beginnings that were answered to nobody: none of them has a part.
    for upload in server().uploads(&bucket) {
        let parts = server().ask("GET", &format!("/{bucket}/large/objects/large?uploadId={upload}"));
        assert!(parts.starts_with("HTTP/1.1 200") && !parts.contains("<ETag>"), "{upload}: {parts}");
    }
}

#[test]
fn lists_are_longer_than_a_page() {
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    let name = |number: usize| format!("checkpoint-{number:010}-g1.efx");
    // By many hands: the server is slow.
    thread::scope(|scope| {
        for hand in 0..4 {
            let mut storage = proxy.storage(&bucket, "list", 0);
            scope.spawn(move || (0..1203).skip(hand).step_by(4).for_each(|at| storage.put(&name(at), b"x").unwrap()));
        }
    });
    // What lies beside and deeper, and names that are none.
    for key in ["list/objects/deeper/a", "list/objects/.hidden", "list/objects2/a", "list/other", "objects/a"] {
        assert!(server().ask("PUT", &format!("/{bucket}/{key}")).starts_with("HTTP/1.1 200"), "{key}");
    }
    let mut storage = proxy.storage(&bucket, "list", 0);
    let expected: Vec<String> = (0..1203).map(name).collect();
    let list = |storage: &mut ObjectStoreBackend| -> Vec<String> {
        storage.list().unwrap().into_iter().map(|object| object.name).collect()
    };
    assert_eq!(list(&mut storage), expected);
    proxy.plan(|seen| (seen.number == 1).then_some(Fault::Says(503, "SlowDown")));
    assert_eq!(list(&mut storage), expected);
    assert_eq!(proxy.calm(), (4, 1), "the second page failed once");
}

#[test]
fn names_do_not_lead_out_of_the_prefix() {
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    let mut storage = proxy.storage(&bucket, "names", 0);
    assert!(storage.swap_head(None, b"head").unwrap());
    let before = server().keys(&bucket, "");
    for name in ["", "..", ".", "../head", "/etc", "a/b", "a\\b", ".hidden", "nul\0", "ü", "a b", "a%2Fb"] {
        assert!(matches!(storage.put(name, b"x"), Err(Error::Storage { .. })), "{name}");
        assert!(matches!(storage.read(name, ByteRange::All), Err(Error::Storage { .. })), "{name}");
        assert!(matches!(storage.delete(name), Err(Error::Storage { .. })), "{name}");
    }
    assert_eq!(server().keys(&bucket, ""), before);
    for prefix in ["a//b", "../a", "a/./b"] {
        assert!(ObjectStoreBackend::with_store(Arc::new(InMemory::new()), prefix).is_err(), "{prefix}");
    }
}

/// What an operation says if the store answers so.
fn says(status: u16, code: &'static str) -> String {
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    proxy.plan(move |_| Some(Fault::Says(status, code)));
    let mut storage = proxy.storage(&bucket, "errors", 0).with_retries(1, Duration::from_secs(10));
    let Err(Error::Storage { object, reason, .. }) = drive(OpenWriter::new(), &mut storage) else {
        panic!("{code}: no error of the storage")
    };
    assert!(object.contains(&bucket), "{object}");
    assert!(!reason.contains("http") && !reason.contains("xml"), "{reason}");
    reason
}

#[test]
fn errors_say_what_to_do() {
    for (status, code, advice) in [
        (403, "AccessDenied", "s3:ListBucket"),
        (404, "NoSuchBucket", "make the bucket"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (400, "ExpiredToken", "renew"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "AuthorizationHeaderMalformed", "region"),
        (503, "SlowDown", "SlowDown: As told"),
    ] {
        let said = says(status, code);
        assert!(said.contains(advice), "{code}: {said}");
    }
    // Nobody listens there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    choose_cryptography();
    let store = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(format!("http://{gone}"))
        .with_allow_http(true)
        .with_bucket_name("bucket")
        .with_access_key_id("AKIASECRET")
        .with_secret_access_key("SECRET")
        .with_retry(object_store::RetryConfig { max_retries: 0, ..Default::default() })
        .build()
        .unwrap();
    let mut storage = ObjectStoreBackend::with_store(Arc::new(store), "errors").unwrap();
    assert!(!format!("{storage:?}").contains("SECRET"));
    storage = storage.with_retries(2, Duration::from_secs(10));
    let error = storage.read_head().unwrap_err().to_string();
    assert!(error.contains("no connection") && error.contains("refused") && !error.contains("SECRET"), "{error}");
}

#[test]
fn a_bucket_that_is_not_there_is_no_new_storage() {
    let proxy = Proxy::start(server());
    let mut storage = proxy.storage("nobody-made-it", "flights", 0);
    for error in [
        storage.read_head().unwrap_err(),
        storage.list().unwrap_err(),
        storage.put("a", b"x").unwrap_err(),
        storage.swap_head(None, b"x").unwrap_err(),
    ] {
        assert!(error.to_string().contains("make the bucket"), "{error}");
    }
}

#[test]
fn a_store_without_conditional_put_is_refused() {
    // Says so.
    let said = says(501, "NotImplemented");
    assert!(said.contains("NotImplemented"), "{said}");
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    proxy.plan(|seen| (seen.method == "PUT").then_some(Fault::Says(501, "NotImplemented")));
    let error = drive(OpenWriter::new(), &mut proxy.storage(&bucket, "none", 0)).unwrap_err().to_string();
    assert!(error.contains("no conditional put, fencing cannot work"), "{error}");
    proxy.calm();
    // Ignores conditions.
    for already_there in [false, true] {
        let (proxy, bucket) = (Proxy::start(server()), server().bucket());
        let mut storage = proxy.storage(&bucket, "none", 0);
        let expected = already_there.then_some(&b"head"[..]);
        if already_there {
            assert!(proxy.storage(&bucket, "none", 0).swap_head(None, b"head").unwrap());
        }
        proxy.plan(|_| Some(Fault::Ignores("if-")));
        let error = storage.swap_head(expected, b"next").unwrap_err().to_string();
        assert!(error.contains("whose condition does not hold"), "{error}");
    }
}

/// One condition that holds says nothing of the other one.
#[test]
fn so_is_one_that_ignores_one_of_the_two_conditions() {
    let ignoring = |condition| {
        let (proxy, bucket) = (Proxy::start(server()), server().bucket());
        proxy.plan(move |_| Some(Fault::Ignores(condition)));
        (proxy.storage(&bucket, "half", 0), bucket)
    };
    let refused = |outcome: Result<bool, Error>| {
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("whose condition does not hold") && error.contains("fencing cannot work"), "{error}");
    };
    // That the head still is what it was: without it nobody is fenced off.
    let (mut storage, _) = ignoring("if-match");
    assert!(storage.swap_head(None, b"one").unwrap());
    refused(storage.swap_head(Some(b"one"), b"two"));
    // That there is no head.
    let (mut storage, bucket) = ignoring("if-none-match");
    refused(storage.swap_head(None, b"one"));
    assert!(storage.swap_head(Some(b"one"), b"two").unwrap());
    server().ask("DELETE", &format!("/{bucket}/half/head"));
    assert_eq!(storage.read_head().unwrap(), None);
    refused(storage.swap_head(None, b"three"));
    // Of one that knows both each is looked at once.
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    let mut storage = proxy.storage(&bucket, "half", 0);
    for (expected, new, requests) in [(None, "1", 2), (Some("1"), "2", 2), (Some("2"), "3", 1), (Some("3"), "4", 1)] {
        proxy.plan(|_| None);
        assert!(storage.swap_head(expected.map(str::as_bytes), new.as_bytes()).unwrap());
        assert_eq!(proxy.calm().0, requests, "{new}");
    }
}

/// Takes checkpoints, prunes, and counts what is left.
fn nothing_is_left_behind(storage: ObjectStoreBackend, checkpoints: u64) -> BTreeSet<String> {
    let config = ManagerConfig { retention: Retention { max_retained: 3 }, ..ManagerConfig::default() };
    let mut manager = CheckpointManager::open(storage, config).unwrap();
    let holder = || StateHolder::builder("many").key_groups(8).build().unwrap();
    let mut state = holder();
    for number in 0..checkpoints {
        state.set([number as u8 % 61], &(number, [number as u8; 100].as_slice())).unwrap();
        if number % 7 == 6 {
            state.remove([(number / 2) as u8 % 61]).unwrap();
        }
        manager.checkpoint(&mut state, None).unwrap();
    }
    let before = contents(&state);
    manager.prune(Retention { max_retained: 3 }).unwrap();
    let mut needed = BTreeSet::new();
    for entry in manager.list().to_vec() {
        let manifest = read_manifest(manager.backend_mut(), entry.object).unwrap();
        needed.extend(manifest.needed_objects().into_iter().map(|object| object.name()));
    }
    let listed = manager.backend_mut().list().unwrap();
    assert_eq!(listed.into_iter().map(|object| object.name).collect::<BTreeSet<_>>(), needed);
    let report = verify(manager.backend_mut()).unwrap();
    assert_eq!((report.findings, report.unneeded, report.checkpoints), (vec![], vec![], 3));
    let mut restored = holder();
    manager.restore_latest(&mut restored).unwrap();
    assert_eq!(contents(&restored), before);
    needed
}

/// 10,000 in memory; as many on the server only when asked for, which takes minutes.
#[test]
fn retained_and_pruned_checkpoints_leave_nothing_behind() {
    let memory = ObjectStoreBackend::with_store(Arc::new(InMemory::new()), "flights").unwrap();
    let in_memory = nothing_is_left_behind(memory, 10_000).len();
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    let checkpoints = if is_long() { 10_000 } else { 300 };
    let needed = nothing_is_left_behind(proxy.storage(&bucket, "flights", 0), checkpoints);
    let mut expected: Vec<String> = needed.iter().map(|name| format!("flights/objects/{name}")).collect();
    expected.insert(0, "flights/head".into());
    assert_eq!(server().keys(&bucket, ""), expected);
    assert_eq!(server().uploads(&bucket), [""; 0]);
    println!(
        "object store: after 10,000 checkpoints in memory {in_memory} objects, after {checkpoints} on a server {}; all \
         needed",
        needed.len()
    );
}
