//! Procedures that are given up while a request is on its way, as a program with a timeout does: what comes of it shows later.

use crate::common::states::{contents, holder, write};
use eventflux::{Backend, Error, MemoryBackend, Retention, Selector, StateHolder, verify};
use eventflux_core::{
    CheckpointRequest, Compression, EncodedCheckpoint, Error as CoreError, FindHead, Head, ObjectId, OpenWriter,
    Procedure, Prune, Publish, ReadManifest, Republish, Request, Response, Restore, RestoreOptions, Step, Writer,
    drive,
};

const RETENTION: Retention = Retention { max_retained: 1 };

/// A swap of the head that was asked for: what is expected, and the next one.
type Swap = (Option<Vec<u8>>, Vec<u8>);

fn encode(state: &mut StateHolder, object: ObjectId) -> EncodedCheckpoint {
    state.begin(CheckpointRequest::default()).unwrap();
    state.take_capture().unwrap().into_object(object, Compression::None).unwrap()
}

fn publish(state: &mut StateHolder, writer: &mut Writer, storage: &mut MemoryBackend) -> eventflux::Result<u64> {
    let mut encoded = encode(state, writer.next_object());
    let published = Publish::new(writer, &mut encoded, RETENTION).and_then(|publish| drive(publish, storage));
    let published = published.inspect_err(|_| state.abort().unwrap())?;
    state.commit(&encoded).unwrap();
    Ok(published.entry.object.id)
}

/// Drives a procedure until it asks for a swap, and gives it up then.
fn until_swap(mut procedure: impl Procedure, storage: &mut MemoryBackend) -> Swap {
    loop {
        let response = match procedure.poll_request().unwrap() {
            Step::Request(Request::SwapHead { expected, new }) => return (expected, new),
            Step::Request(Request::Put { object, bytes }) => {
                storage.put(&object, &bytes).unwrap();
                Response::Done
            }
            Step::Request(Request::ReadHead) => Response::Head(storage.read_head().unwrap()),
            _ => panic!("something else before the swap"),
        };
        procedure.handle_response(response).unwrap();
    }
}

fn perform(swap: &Swap, storage: &mut MemoryBackend) -> bool {
    storage.swap_head(swap.0.as_deref(), &swap.1).unwrap()
}

/// A storage with a checkpoint, and a second one whose swap nobody waits for.
fn one_is_given_up() -> (MemoryBackend, Writer, StateHolder, Swap) {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut state = holder();
    write(&mut state, 0);
    publish(&mut state, &mut writer, &mut storage).unwrap();
    write(&mut state, 1);
    let mut encoded = encode(&mut state, writer.next_object());
    let swap = until_swap(Publish::new(&mut writer, &mut encoded, RETENTION).unwrap(), &mut storage);
    state.abort().unwrap();
    write(&mut state, 2);
    (storage, writer, state, swap)
}

fn check(storage: &mut MemoryBackend, state: &StateHolder) {
    let mut restored = holder();
    drive(Restore::new(&mut restored, Selector::Latest, RestoreOptions::default()), storage).unwrap();
    assert_eq!(contents(&restored), contents(state));
    assert_eq!(verify(storage).unwrap().findings, []);
}

#[test]
fn the_next_checkpoint_finds_what_a_swap_did_that_nobody_waited_for() {
    for takes_effect in [true, false] {
        let (mut storage, mut writer, mut state, swap) = one_is_given_up();
        assert!(!takes_effect || perform(&swap, &mut storage));
        assert_eq!(publish(&mut state, &mut writer, &mut storage).unwrap(), 2);
        assert!(!perform(&swap, &mut storage), "it comes too late");
        check(&mut storage, &state);
        // Nor is there anything of it, if it came to nothing.
        assert_eq!(verify(&mut storage).unwrap().unneeded, Vec::<String>::new());
    }
}

/// What a writer puts that was fenced off, no head will name.
#[test]
fn a_writer_that_knows_it_was_fenced_off_puts_nothing() {
    let (mut storage, mut writer, mut state, _) = one_is_given_up();
    drive(OpenWriter::new(), &mut storage).unwrap();
    let mut counts = Vec::new();
    for _ in 0..3 {
        let error = publish(&mut state, &mut writer, &mut storage).unwrap_err();
        assert!(matches!(error, Error::Core(CoreError::Fenced { held: 1, current: 2 })), "{error:?}");
        counts.push(storage.list().unwrap().len());
        write(&mut state, 3);
    }
    assert_eq!(counts, [counts[0]; 3]);
}

/// What a prune deletes is named by no head, also by none that is still on its way.
#[test]
fn a_prune_shuts_out_a_swap_that_nobody_waited_for() {
    let (mut storage, mut writer, mut state, swap) = one_is_given_up();
    assert_eq!(drive(Prune::new(&mut writer, RETENTION), &mut storage).unwrap().len(), 1);
    assert!(!perform(&swap, &mut storage), "it names what is gone");
    check(&mut storage, &{
        let mut first = holder();
        write(&mut first, 0);
        first
    });
    publish(&mut state, &mut writer, &mut storage).unwrap();
    check(&mut storage, &state);
}

/// A storage of two slots takes the head of the greater order for the newer.
#[test]
fn each_head_is_newer_than_the_one_before_whatever_was_given_up() {
    for gives_up in [0b01, 0b10, 0b11, 0b111] {
        let mut storage = MemoryBackend::new();
        let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let mut state = holder();
        let keep = Retention { max_retained: 10 };
        for step in 0..4 {
            write(&mut state, step);
            let mut encoded = encode(&mut state, writer.next_object());
            drive(Publish::new(&mut writer, &mut encoded, keep).unwrap(), &mut storage).unwrap();
            state.commit(&encoded).unwrap();
        }
        let mut orders = vec![writer.head().written_order()];
        for (round, max_retained) in [3, 2, 1].into_iter().enumerate() {
            let swap = until_swap(Prune::new(&mut writer, Retention { max_retained }), &mut storage);
            if gives_up >> round & 1 == 0 && perform(&swap, &mut storage) {
                orders.push(Head::from_bytes(&swap.1).unwrap().written_order());
                break;
            }
        }
        write(&mut state, 9);
        let mut encoded = encode(&mut state, writer.next_object());
        drive(Publish::new(&mut writer, &mut encoded, keep).unwrap(), &mut storage).unwrap();
        state.commit(&encoded).unwrap();
        orders.push(writer.head().written_order());
        assert!(orders.is_sorted_by(|before, after| before < after), "{gives_up:b}: {orders:?}");
        check(&mut storage, &state);
    }
}

/// Several states were restored, and each goes on from its own checkpoint.
#[test]
fn a_restore_to_look_at_takes_nothing_from_the_one_to_go_on_from() {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let keep = Retention { max_retained: 10 };
    for step in 0..3 {
        // Each of them carries all of its own.
        let mut state = holder();
        write(&mut state, step);
        let mut encoded = encode(&mut state, writer.next_object());
        drive(Publish::new(&mut writer, &mut encoded, keep).unwrap(), &mut storage).unwrap();
    }
    let (mut live, mut looked_at) = (holder(), holder());
    for (id, state) in [(0, &mut live), (1, &mut looked_at)] {
        drive(Restore::new(state, Selector::Id(id), RestoreOptions::default()), &mut storage).unwrap();
        writer.hold(id);
    }
    drive(Prune::new(&mut writer, RETENTION), &mut storage).unwrap();
    write(&mut live, 7);
    publish(&mut live, &mut writer, &mut storage).unwrap();
    check(&mut storage, &live);
}

/// A checkpoint that is published between the head that `verify` reads and its list of objects is needed.
#[test]
fn what_is_published_while_it_is_verified_is_needed() {
    struct Publishing(MemoryBackend, Writer, StateHolder);
    impl Backend for Publishing {
        fn put(&mut self, object: &str, bytes: &[u8]) -> eventflux_core::Result<()> {
            self.0.put(object, bytes)
        }
        fn read(&mut self, object: &str, range: eventflux_core::ByteRange) -> eventflux_core::Result<Option<Vec<u8>>> {
            self.0.read(object, range)
        }
        fn list(&mut self) -> eventflux_core::Result<Vec<eventflux_core::ObjectInfo>> {
            let Publishing(storage, writer, state) = self;
            publish(state, writer, storage).unwrap();
            self.0.list()
        }
        fn delete(&mut self, object: &str) -> eventflux_core::Result<()> {
            self.0.delete(object)
        }
        fn read_head(&mut self) -> eventflux_core::Result<Option<Vec<u8>>> {
            self.0.read_head()
        }
        fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> eventflux_core::Result<bool> {
            self.0.swap_head(expected, new)
        }
    }
    let (storage, writer, state, _) = one_is_given_up();
    let report = verify(&mut Publishing(storage, writer, state)).unwrap();
    // That which was given up is deleted with the next one, and the one before may be gone by then.
    assert_eq!((report.findings, report.unneeded), (vec![], Vec::<String>::new()));
}

/// Clocks jump; numbers do not.
#[test]
fn the_newest_whole_checkpoint_is_the_last_that_was_taken() {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut state = holder();
    let keep = Retention { max_retained: 10 };
    // The clock is set back after the second.
    for (step, created_ms) in [100, 200, 50, 60, 70].into_iter().enumerate() {
        write(&mut state, step as u64);
        state.begin(CheckpointRequest { created_ms, ..CheckpointRequest::default() }).unwrap();
        let capture = state.take_capture().unwrap();
        let mut encoded = capture.into_object(writer.next_object(), Compression::None).unwrap();
        drive(Publish::new(&mut writer, &mut encoded, keep).unwrap(), &mut storage).unwrap();
        state.commit(&encoded).unwrap();
    }
    // A label that an older one gets is newer by its number alone.
    let second = drive(ReadManifest::new(ObjectId { id: 1, generation: 1 }), &mut storage).unwrap();
    let mut labelled = Republish::encode(&second, writer.next_object(), "second").unwrap();
    drive(Publish::new(&mut writer, &mut labelled, keep).unwrap(), &mut storage).unwrap();
    storage.delete("checkpoint-0000000004-g1.efx").unwrap();
    assert_eq!(verify(&mut storage).unwrap().newest_whole, Some(3));
}

/// Between the look for a head and the list of objects another writer opens a storage for the first time and publishes.
#[test]
fn a_head_that_is_made_meanwhile_is_not_lost() {
    let mut storage = MemoryBackend::new();
    let mut find = FindHead::new();
    let mut state = holder();
    write(&mut state, 1);
    assert!(matches!(find.poll_request().unwrap(), Step::Request(Request::ReadHead)));
    find.handle_response(Response::Head(storage.read_head().unwrap())).unwrap();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    publish(&mut state, &mut writer, &mut storage).unwrap();
    assert!(matches!(find.poll_request().unwrap(), Step::Request(Request::List)));
    find.handle_response(Response::Objects(storage.list().unwrap())).unwrap();
    let head = drive(find, &mut storage).unwrap();
    assert_eq!(head.latest, Some(0));
}
