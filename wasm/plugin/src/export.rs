//! The exports of the world `eventflux:plugin/plugin`: each hands its arguments to the one [`Instance`].
//!
//! Written by hand after the component model's canonical ABI, since what `wit-bindgen` writes is a sixth of a small
//! plugin, for the errors of each call anew. How calls arrive: a string or list is a pointer and a length, which the
//! host has put into memory of `cabi_realloc`, and which now belongs to the callee. What does not fit into one register
//! goes back as a pointer to words: numbers as they are, a string or list as pointer and length, a variant (`result`,
//! `option`, `error`) as its number and what it carries. They are good until the next call.
// Names of exports, and memory that changes hands, are what the compiler cannot check.
#![allow(unsafe_code)]

use alloc::alloc::{Layout, alloc, realloc};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::error::Error;
use crate::instance::{Description, Instance};
use crate::operator::{Operator, Schema, Setup};

/// Most words of an answer: a description.
const ANSWER_WORDS_MAX: usize = 7;

/// Numbers of the variants of `result` and `option`.
const OK: u32 = 0;
const ERROR: u32 = 1;
const NONE: u32 = 0;
const SOME: u32 = 1;

unsafe extern "Rust" {
    /// Defined by the crate of the plugin, which names its operator by it.
    safe fn eventflux_operator() -> Box<dyn Operator>;
}

/// What the calls share: the instance, and the newest answer.
struct Plugin {
    instance: Option<Instance>,
    answer: Answer,
}

struct Single(RefCell<Plugin>);

// SAFETY: a plugin has no threads; the world imports nothing that could start one.
unsafe impl Sync for Single {}

static SINGLE: Single = Single(RefCell::new(Plugin { instance: None, answer: Answer::EMPTY }));

/// Makes a call, whose answer is where the pointer points to until the next one.
fn call(make: impl FnOnce(&mut Instance, &mut Answer)) -> *const u32 {
    let mut plugin = SINGLE.0.borrow_mut();
    let Plugin { instance, answer } = &mut *plugin;
    *answer = Answer::EMPTY;
    make(instance.get_or_insert_with(|| Instance::new(eventflux_operator())), answer);
    answer.words.as_ptr()
}

/// An answer, and what it points to.
struct Answer {
    words: [u32; ANSWER_WORDS_MAX],
    used: usize,
    bytes: Vec<Vec<u8>>,
    tables: Vec<Vec<u32>>,
}

impl Answer {
    const EMPTY: Self = Answer { words: [0; ANSWER_WORDS_MAX], used: 0, bytes: Vec::new(), tables: Vec::new() };

    fn word(&mut self, word: u32) {
        self.words[self.used] = word;
        self.used += 1;
    }

    /// Keeps bytes; where they are, and how many.
    fn keep(&mut self, bytes: Vec<u8>) -> [u32; 2] {
        let place = [bytes.as_ptr() as u32, bytes.len() as u32];
        self.bytes.push(bytes);
        place
    }

    fn bytes(&mut self, bytes: Vec<u8>) {
        let [start, length] = self.keep(bytes);
        self.word(start);
        self.word(length);
    }

    /// A list of so many records.
    fn list(&mut self, table: Vec<u32>, length: usize) {
        self.word(table.as_ptr() as u32);
        self.word(length as u32);
        self.tables.push(table);
    }

    fn names(&mut self, names: Vec<String>) {
        let length = names.len();
        let table = names.into_iter().flat_map(|name| self.keep(name.into_bytes())).collect();
        self.list(table, length);
    }

    /// Whether there is a value; an error is told at once.
    #[inline(never)]
    fn error(&mut self, error: Error) {
        self.word(ERROR);
        let (number, index, reason) = match error {
            Error::BadConfig(reason) => (0, None, reason),
            Error::BadEvent { index, reason } => (1, Some(index), reason),
            Error::StateLimit(reason) => (2, None, reason),
            Error::UnsupportedSchema(reason) => (3, None, reason),
            Error::Corrupt(reason) => (4, None, reason),
            Error::ChainGap(reason) => (5, None, reason),
            Error::Internal(reason) => (6, None, reason),
        };
        self.word(number);
        if let Some(index) = index {
            self.word(index);
        }
        self.bytes(reason.into_bytes());
    }

    #[inline(never)]
    fn unit(&mut self, result: Result<(), Error>) {
        match result {
            Ok(()) => self.word(OK),
            Err(error) => self.error(error),
        }
    }

    #[inline(never)]
    fn results(&mut self, result: Result<Vec<u8>, Error>) {
        match result {
            Ok(bytes) => {
                self.word(OK);
                self.bytes(bytes);
            }
            Err(error) => self.error(error),
        }
    }
}

/// Memory for what the host hands over; asked for by its name.
///
/// # Safety
/// `old` was answered by this function for `old_size` and `align`, or `old_size` is 0.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8 {
    if size == 0 {
        return align as *mut u8;
    }
    // SAFETY: the host gives an alignment that is a power of two, and sizes within the memory; a size of 0 was
    // answered above, and one before is told by `old_size`.
    let memory = unsafe {
        if old_size == 0 {
            alloc(Layout::from_size_align_unchecked(size, align))
        } else {
            realloc(old, Layout::from_size_align_unchecked(old_size, align), size)
        }
    };
    if memory.is_null() {
        core::arch::wasm32::unreachable();
    }
    memory
}

/// Bytes that the host has handed over.
///
/// # Safety
/// `start` and `length` are those of a list of bytes, as an argument of this call.
unsafe fn taken(start: *mut u8, length: usize) -> Vec<u8> {
    if length == 0 {
        return Vec::new();
    }
    // SAFETY: `cabi_realloc` answered it for this very length, with an alignment of 1, and the host has filled it.
    unsafe { Vec::from_raw_parts(start, length, length) }
}

#[unsafe(export_name = "eventflux:plugin/operator@1.0.0#init")]
extern "C" fn init(config: *mut u8, length: usize, state_budget: u64) -> *const u32 {
    // SAFETY: the string argument of this call.
    let config = String::from_utf8(unsafe { taken(config, length) });
    call(|instance, answer| {
        let config = config.map_err(|_| Error::BadConfig("it is not UTF-8".into()));
        match config.and_then(|config| instance.init(&config, state_budget)) {
            Ok(Setup { inputs, outputs, watermarks }) => {
                answer.word(OK);
                answer.names(inputs);
                answer.names(outputs);
                answer.word(watermarks.into());
            }
            Err(error) => answer.error(error),
        }
    })
}

#[unsafe(export_name = "eventflux:plugin/operator@1.0.0#process")]
extern "C" fn process(batch: *mut u8, length: usize) -> *const u32 {
    // SAFETY: the list argument of this call.
    let batch = unsafe { taken(batch, length) };
    call(|instance, answer| answer.results(instance.process(&batch)))
}

#[unsafe(export_name = "eventflux:plugin/operator@1.0.0#on-watermark")]
extern "C" fn on_watermark(ms: i64) -> *const u32 {
    call(|instance, answer| answer.results(instance.on_watermark(ms)))
}

#[unsafe(export_name = "eventflux:plugin/checkpointing@1.0.0#describe")]
extern "C" fn describe() -> *const u32 {
    call(|instance, answer| {
        let Description { name, version, schema } = instance.describe();
        answer.bytes(name.into_bytes());
        answer.bytes(version.into_bytes());
        answer.bytes(schema.name.into_bytes());
        answer.word(schema.version);
    })
}

#[unsafe(export_name = "eventflux:plugin/checkpointing@1.0.0#readable")]
extern "C" fn readable() -> *const u32 {
    call(|instance, answer| {
        let schemas = instance.readable();
        let length = schemas.len();
        let mut table = Vec::new();
        for Schema { name, version } in schemas {
            table.extend(answer.keep(name.into_bytes()));
            table.push(version);
        }
        answer.list(table, length);
    })
}

#[unsafe(export_name = "eventflux:plugin/checkpointing@1.0.0#checkpoint-begin")]
extern "C" fn checkpoint_begin(epoch: u64, full: u32) -> *const u32 {
    call(|instance, answer| answer.unit(instance.checkpoint_begin(epoch, full != 0)))
}

#[unsafe(export_name = "eventflux:plugin/checkpointing@1.0.0#checkpoint-next")]
extern "C" fn checkpoint_next(max_bytes: u32) -> *const u32 {
    call(|instance, answer| match instance.checkpoint_next(max_bytes) {
        Ok(Some(frame)) => {
            answer.word(OK);
            answer.word(SOME);
            answer.bytes(frame);
        }
        Ok(None) => {
            answer.word(OK);
            answer.word(NONE);
        }
        Err(error) => answer.error(error),
    })
}

#[unsafe(export_name = "eventflux:plugin/checkpointing@1.0.0#checkpoint-end")]
extern "C" fn checkpoint_end(epoch: u64, durable: u32) -> *const u32 {
    call(|instance, answer| answer.unit(instance.checkpoint_end(epoch, durable != 0)))
}

#[unsafe(export_name = "eventflux:plugin/checkpointing@1.0.0#restore")]
extern "C" fn restore(frame: *mut u8, length: usize) -> *const u32 {
    // SAFETY: the list argument of this call.
    let frame = unsafe { taken(frame, length) };
    call(|instance, answer| answer.unit(instance.restore(&frame)))
}

#[unsafe(export_name = "eventflux:plugin/checkpointing@1.0.0#restore-end")]
extern "C" fn restore_end() -> *const u32 {
    call(|instance, answer| answer.unit(instance.restore_end()))
}
