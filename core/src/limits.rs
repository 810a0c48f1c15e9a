//! Every bound of the engine, in one place, related to each other at compile time.

/// Key groups of a holder unless it says otherwise. Frozen in each checkpoint.
pub const KEY_GROUPS_DEFAULT: u16 = 128;
/// Most key groups a holder may have.
pub const KEY_GROUPS_MAX: u16 = 1024;
/// Longest encoded key, in bytes.
pub const KEY_BYTES_MAX: usize = 64 * 1024;
/// Most states of one holder, the plain values among them: so many less one with names.
pub const STATES_MAX: usize = 1024;
/// Longest label of a savepoint, in bytes of UTF-8.
pub const LABEL_BYTES_MAX: usize = 200;
/// Farthest time from 1970 in either direction, in milliseconds: the range of a JavaScript date.
pub const TIMESTAMP_MS_MAX: i64 = 8_640_000_000_000_000;
/// Longest duration of a definition, in milliseconds.
pub const DURATION_MS_MAX: i64 = TIMESTAMP_MS_MAX;
/// Most windows one event may belong to (`size / every` of a hopping window).
pub const WINDOWS_PER_EVENT_MAX: i64 = 10_000;
/// Most steps of a pattern.
pub const PATTERN_STEPS_MAX: usize = 64;
/// Most fields of an event.
pub const FIELDS_MAX: usize = 10_000;

/// Longest independently compressed block, in raw bytes. Below 65,535 the compressor's table is
/// the same on 32-bit and 64-bit machines, which keeps checkpoints equal byte for byte.
pub const LZ4_BLOCK_BYTES: usize = 65_280;
/// LZ4 cannot shrink a block by more than this factor; a claim beyond it is damage.
pub const LZ4_RATIO_MAX: u64 = 256;
/// Columns do not stand for more than this many times their stored bytes in rows; what could be
/// shorter is written as rows.
pub const COLUMNS_RATIO_MAX: u64 = 1024;
/// Size in rows that a section of a base aims at; larger ranges of key groups are split.
pub const BASE_SECTION_BYTES: u64 = 128 * 1024;
/// Size in rows that a section of a delta aims at.
pub const DELTA_SECTION_BYTES: u64 = 8 * 1024 * 1024;
/// Size in rows of the sections that share one plan, at most: what is held in memory as columns at once.
pub const PLAN_ROWS_BYTES: u64 = 32 * 1024 * 1024;
/// Up to this size in rows a section is tried in both forms.
pub const SMALL_SECTION_BYTES: u64 = 16 * 1024;
/// Largest section, in raw bytes.
pub const SECTION_RAW_BYTES_MAX: u64 = 1 << 32;
/// Most bytes any size or place in a manifest may claim: sums and products of them stay in range.
pub const STORAGE_BYTES_MAX: u64 = 1 << 48;
/// Most events, results and late events that a checkpoint counts.
pub const EVENTS_MAX: u64 = 1 << 62;
/// Largest manifest, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most objects one checkpoint may need; a claim beyond it is damage.
pub const OBJECTS_PER_CHECKPOINT_MAX: u64 = 1 << 24;
/// Objects of checkpoints that went are deleted by their names; if they were more, those that a list shows.
pub const DELETED_UNSEEN_MAX: u64 = 1 << 16;
/// Largest head record, in bytes.
pub const HEAD_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How often a writer that opens replaces the head anew since the one before has published just then.
pub const OPEN_ATTEMPTS_MAX: u32 = 10;

/// What compaction may write for each dirty byte, as a fraction of 100. With 80, writing stays
/// at 1.8 × the dirty bytes and a full round of bases takes 1.25 × the live bytes of deltas,
/// so that a restore reads 1 + 1.25 = 2.25 × the live bytes.
pub const COMPACTION_SHARE_PERCENT: u64 = 80;
/// A base has outgrown its section if its live rows take more than this beside those of its largest key group: compaction
/// cuts it with all that the bound on writing leaves, and with as much beyond that.
pub const OUTGROWN_BASE_BYTES: u64 = 8 * BASE_SECTION_BYTES;
/// Above this many hundredths of the live bytes a restore reads too much (state has shrunk), and
/// compaction spends all that the bound on writing leaves.
pub const RESTORE_READ_PERCENT_HIGH: u64 = 235;
/// Bytes it takes to name a section. Where that of all that a restore reads is more than the dirty bytes,
/// compaction earns by it, so that many tiny deltas are folded before there are too many of them …
pub const SECTION_NAMING_BYTES: u64 = 28;
/// … of which so many count in full …
pub const DELTAS_COUNTED_MAX: u64 = 48;
/// … and one in so many of those beyond.
pub const DELTAS_COUNTED_SHARE: u64 = 32;
/// At so many bases, or so many deltas, that a manifest would name itself they move into a page.
pub const PAGE_SECTIONS_MIN: usize = 8;

/// A restore of less than this, in bytes of rows, is not divided.
pub const PARALLEL_RESTORE_BYTES: u64 = 512 * 1024;
/// A checkpoint is made by one thread, if others would have less than this to do, in bytes of keys and values.
pub const PARALLEL_ENCODE_BYTES: u64 = 64 * 1024;
/// Most parts a restore is divided into.
pub const SHARDS_MAX: usize = 64;
/// Events of a window from how many on they are divided among threads, too.
pub const PARALLEL_EVENTS_MIN: u64 = 32 * 1024;
/// Sections that a divided restore reads ahead, in bytes of rows.
pub const RESTORE_WAITING_BYTES: u64 = 256 * 1024 * 1024;

/// What capturing one row costs of a step's budget, beside its bytes.
pub const STEP_ROW_BYTES: usize = 64;

/// How deeply a plain value nests that is shown as JSON, and a type that is described.
pub const SCHEMA_DEPTH_MAX: usize = 128;
/// Most values, parts of others included, that a plain value shown as JSON holds: so many for each of its bytes …
pub const SCHEMA_VALUES_PER_BYTE: u64 = 16;
/// … and so many more.
pub const SCHEMA_VALUES_EXTRA: u64 = 1024;
/// So many bytes of the name of a field or a variant count as a value more.
pub const SCHEMA_NAME_BYTES: usize = 64;
/// Most parts of a tuple or an array that is described.
pub const SCHEMA_PARTS_MAX: usize = 65_536;
/// Most parts looked at to describe a type.
pub const SCHEMA_STEPS_MAX: usize = 1 << 20;

/// Least and most memory of a plugin's instance, in bytes: a page, and all that 32 bits can name.
pub const PLUGIN_MEMORY_BYTES_MIN: u64 = 64 * 1024;
/// See [`PLUGIN_MEMORY_BYTES_MIN`].
pub const PLUGIN_MEMORY_BYTES_MAX: u64 = 1 << 32;
/// Most events a plugin is given at once.
pub const PLUGIN_BATCH_EVENTS: usize = 256;
/// Bytes of texts after which a batch for plugins ends: together events may be more than an instance has room for, that
/// would take each of them.
pub const PLUGIN_BATCH_TEXT_BYTES: usize = 64 * 1024;
/// Longest frame of a plugin's checkpoint, in bytes.
pub const PLUGIN_FRAME_BYTES: u32 = 256 * 1024;
/// Frames may take so many times the state that a plugin is allowed; what hands out more is broken.
pub const PLUGIN_FRAMES_PER_STATE: u64 = 2;
/// A frame counts as this many bytes at least, so that a plugin that hands out empty ones comes to an end.
pub const PLUGIN_FRAME_BYTES_COUNTED: u64 = 1024;
/// What the results of one call may take in the host's memory, in bytes: so many times the state that the plugin is
/// allowed, since at the end of the source each key may have one …
pub const PLUGIN_RESULTS_PER_STATE: u64 = 8;
/// … and this at least, which is what a plugin with the usual limits may.
pub const PLUGIN_RESULTS_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// What the results of one call may take in the host's memory, of a plugin whose state may take so many bytes.
#[must_use]
pub const fn plugin_results_bytes_max(state_budget_bytes: u64) -> u64 {
    let bytes = state_budget_bytes.saturating_mul(PLUGIN_RESULTS_PER_STATE);
    if bytes > PLUGIN_RESULTS_BYTES_MIN { bytes } else { PLUGIN_RESULTS_BYTES_MIN }
}

/// What a result counts beside its key and its values, in bytes: a million of them are [`PLUGIN_RESULTS_BYTES_MIN`].
pub const PLUGIN_RESULT_BYTES: u64 = 256;
/// Longest name or version that a plugin gives, in bytes of UTF-8.
pub const PLUGIN_NAME_BYTES_MAX: usize = 1024;
/// Most schemas that a plugin says it restores.
pub const PLUGIN_SCHEMAS_MAX: usize = 1024;
/// Most characters of a plugin's own words about what went wrong that are told, and stored.
pub const PLUGIN_REASON_CHARS_MAX: usize = 1024;
/// Batches since the last frames that are kept to repeat them after a failure, in bytes; at more, frames are taken.
pub const PLUGIN_JOURNAL_BYTES: usize = 8 * 1024 * 1024;
/// Failures of a plugin from one checkpoint of it to the next, after which it is stopped.
pub const PLUGIN_FAILURES_MAX: u32 = 4;
/// Times a plugin may fail for good over a batch whose events it takes one by one, before it gets no others.
pub const PLUGIN_FAILED_BATCHES_MAX: u32 = 16;
/// Notices of a plugin that wait for the program to take them; the newest stay.
pub const PLUGIN_NOTICES_MAX: usize = 1024;
/// Below this many bytes of changes a plugin is not asked for all of its state again.
pub const PLUGIN_FULL_BYTES_MIN: u64 = 64 * 1024;

const _: () = assert!(LZ4_BLOCK_BYTES < u16::MAX as usize);
const _: () = assert!(KEY_GROUPS_DEFAULT <= KEY_GROUPS_MAX && KEY_GROUPS_DEFAULT.is_power_of_two());
const _: () = assert!(100 + 100 * 100 / COMPACTION_SHARE_PERCENT <= RESTORE_READ_PERCENT_HIGH);
const _: () = assert!(RESTORE_READ_PERCENT_HIGH < 250 && COMPACTION_SHARE_PERCENT < 100);
const _: () = assert!(BASE_SECTION_BYTES < DELTA_SECTION_BYTES && DELTA_SECTION_BYTES < SECTION_RAW_BYTES_MAX);
const _: () = assert!(PLUGIN_FRAME_BYTES_COUNTED < PLUGIN_FRAME_BYTES as u64);
const _: () = assert!(PLUGIN_RESULTS_BYTES_MIN / PLUGIN_RESULT_BYTES >= 1 << 20);
const _: () = assert!(SCHEMA_PARTS_MAX < SCHEMA_STEPS_MAX);
const _: () = assert!(DELTA_SECTION_BYTES < PLAN_ROWS_BYTES && SMALL_SECTION_BYTES < BASE_SECTION_BYTES);
