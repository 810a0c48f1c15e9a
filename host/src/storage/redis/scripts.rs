//! The scripts that Redis runs: each is one atomic step, seen by no other client half-way, and is copied to replicas
//! and to the append-only file as one transaction.
//!
//! Invariants:
//! - All keys are those of one job, under one hash tag: in a cluster they are in one slot. Keys of chunks are made in
//!   the scripts, from the index, and have the tag of the keys that are declared.
//! - Each may be run again when its answer was lost, and does nothing the second time.
//!
//! `KEYS` is always the head, the index of objects, the index of unfinished objects; `ARGV[1]` what the keys of chunks
//! begin with.

use std::collections::BTreeMap;

use redis::{Cmd, cmd};

/// An entry of an index is `LENGTH:CHUNK`, both in bytes; these make the keys of its chunks.
const CHUNKS: &str = r"
local head, objects, pending, base = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local function chunks(entry)
  local length, chunk = string.match(entry, '^(%d+):(%d+)$')
  if not length then return 0 end
  local count = math.ceil(tonumber(length) / tonumber(chunk))
  -- More than there can be, or no number: damage, of which readers tell. To go through them would hold up the server.
  if not (count <= 1048576) then return 0 end
  return count
end
local function chunk_key(name, number) return base .. name .. ':' .. string.format('%d', number) end
local function is_whole(name, entry)
  for number = 0, chunks(entry) - 1 do
    if redis.call('EXISTS', chunk_key(name, number)) == 0 then return false end
  end
  return true
end
local function remove_chunks(name, from, to)
  for number = from, to - 1 do redis.call('UNLINK', chunk_key(name, number)) end
end
";

/// `renew`: all keys of the job end at the same time, `ARGV[2]` milliseconds from now, or, for 0, never.
const RENEW: &str = r"
local function each_key(run)
  for _, index in ipairs({objects, pending}) do
    local entries = redis.call('HGETALL', index)
    for at = 1, #entries, 2 do
      for number = 0, chunks(entries[at + 1]) - 1 do run(chunk_key(entries[at], number)) end
    end
  end
  run(pending) run(objects) run(head)
end
local function renew()
  local lifetime = tonumber(ARGV[2])
  if lifetime > 0 then
    local now = redis.call('TIME')
    local ends_at = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) + lifetime)
    each_key(function(key) redis.call('PEXPIREAT', key, ends_at) end)
    return ends_at
  end
  if redis.call('PTTL', head) >= 0 or redis.call('PTTL', objects) >= 0 then
    each_key(function(key) redis.call('PERSIST', key) end)
  end
  return '0'
end
";

/// Renews the expiry. Returns the time at which the job ends, milliseconds since 1970, or 0.
const RENEW_ONLY: &str = "return renew()";

/// Compares the head and sets it. `ARGV`: 3: `1` if a head is expected; 4: that head; 5: the new head; 6: the token of
/// this swap; then name and entry of each object that must be there.
///
/// Returns the outcome (1 swapped, 0 not as expected, -1 an object is gone), the number of swaps so far, the time at
/// which the job ends, and which object is gone.
const SWAP: &str = r"
local found = redis.call('HMGET', head, 'record', 'token', 'swaps')
local swaps = tonumber(found[3] or '0')
if found[2] == ARGV[6] then
  -- Done before, and the answer was lost. Written again, so that a WAIT after this one is for it.
  redis.call('HSET', head, 'token', ARGV[6])
  return {1, swaps, renew(), ''}
end
local expected = ARGV[3] == '1' and ARGV[4]
if found[1] ~= expected then return {0, swaps, '0', ''} end
for at = 7, #ARGV, 2 do
  local name, entry = ARGV[at], ARGV[at + 1]
  if redis.call('HGET', objects, name) ~= entry or not is_whole(name, entry) then return {-1, swaps, '0', name} end
end
redis.call('HSET', head, 'record', ARGV[5], 'token', ARGV[6], 'swaps', string.format('%d', swaps + 1))
return {1, swaps + 1, renew(), ''}
";

/// Makes an object visible, if all of its chunks are there. `ARGV`: 2: time at which the job ends, or 0; 3: name;
/// 4: entry. Returns whether they are: another writer may have removed them as left behind. An index that is there has the
/// time of its newest swap, which a writer that was fenced off does not know.
const REGISTER: &str = r"
local name, entry = ARGV[3], ARGV[4]
if not is_whole(name, entry) then return 0 end
local before = redis.call('HGET', objects, name)
if before then remove_chunks(name, chunks(entry), chunks(before)) end
local is_new = redis.call('EXISTS', objects) == 0
redis.call('HSET', objects, name, entry)
redis.call('HDEL', pending, name)
if is_new and ARGV[2] ~= '0' then redis.call('PEXPIREAT', objects, ARGV[2]) end
return 1
";

/// Deletes an object, finished or not: its entries, then its chunks. `ARGV`: 2: name.
const DELETE: &str = r"
for _, index in ipairs({objects, pending}) do
  local entry = redis.call('HGET', index, ARGV[2])
  if entry then
    redis.call('HDEL', index, ARGV[2])
    remove_chunks(ARGV[2], 0, chunks(entry))
  end
end
return 1
";

/// Removes what dead writers left half-written. Returns how many objects that were.
const CLEAN: &str = r"
local left = redis.call('HGETALL', pending)
for at = 1, #left, 2 do
  local whole = redis.call('HGET', objects, left[at])
  remove_chunks(left[at], whole and chunks(whole) or 0, chunks(left[at + 1]))
end
redis.call('UNLINK', pending)
return #left / 2
";

/// The keys of a job, and the commands on them.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) head: String,
    pub(super) objects: String,
    pub(super) pending: String,
    /// What the keys of chunks begin with.
    base: String,
}

/// One swap of the head.
#[derive(Debug)]
pub(super) struct Swap<'a> {
    pub(super) expected: Option<&'a [u8]>,
    pub(super) new: &'a [u8],
    pub(super) token: &'a str,
    /// Objects that must be there, with their entries.
    pub(super) put: &'a BTreeMap<String, String>,
}

impl Job {
    pub(super) fn new(prefix: &str) -> Self {
        let key = |name: &str| format!("{{{prefix}}}:{name}");
        Job { head: key("head"), objects: key("objects"), pending: key("pending"), base: key("object:") }
    }

    /// The key of a chunk.
    pub(super) fn chunk(&self, object: &str, number: u64) -> String {
        format!("{}{object}:{number}", self.base)
    }

    pub(super) fn renew(&self, lifetime_ms: u64) -> Cmd {
        let mut command = self.eval(&[CHUNKS, RENEW, RENEW_ONLY]);
        command.arg(lifetime_ms);
        command
    }

    pub(super) fn swap(&self, lifetime_ms: u64, swap: &Swap<'_>) -> Cmd {
        let mut command = self.eval(&[CHUNKS, RENEW, SWAP]);
        command.arg(lifetime_ms).arg(u8::from(swap.expected.is_some())).arg(swap.expected.unwrap_or_default());
        command.arg(swap.new).arg(swap.token);
        for (name, entry) in swap.put {
            command.arg(name).arg(entry);
        }
        command
    }

    pub(super) fn register(&self, ends_at: &str, object: &str, entry: &str) -> Cmd {
        let mut command = self.eval(&[CHUNKS, REGISTER]);
        command.arg(ends_at).arg(object).arg(entry);
        command
    }

    pub(super) fn delete(&self, object: &str) -> Cmd {
        let mut command = self.eval(&[CHUNKS, DELETE]);
        command.arg(object);
        command
    }

    pub(super) fn clean(&self) -> Cmd {
        self.eval(&[CHUNKS, CLEAN])
    }

    /// `EVAL`, and not by hash: the text is short, and needs no loading after a server has started again.
    fn eval(&self, script: &[&str]) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(script.concat()).arg(3).arg(&self.head).arg(&self.objects).arg(&self.pending).arg(&self.base);
        command
    }
}
