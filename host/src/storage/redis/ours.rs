//! Whether the head is still the one that this writer wrote: a server may lose what it had acknowledged.

use eventflux_core::{Backend, Error as CoreError, Head, ObjectId};
use redis::cmd;

use super::failure::storage_error;
use super::{HEAD, RedisBackend};

impl RedisBackend {
    /// Refuses a head that is older than one this writer has set.
    pub(super) fn check_not_back(&self, swaps: u64) -> Result<(), CoreError> {
        if swaps >= self.swaps {
            return Ok(());
        }
        let (address, reached) = (self.link.address(), self.swaps);
        let what = if swaps == 0 {
            format!("the head is gone, which this writer has written {reached} times")
        } else {
            format!("the head went back, from write {reached} to write {swaps}")
        };
        let expired = if address.expire.is_some() { ", or the job expired" } else { "" };
        let reason = format!(
            "{address}: {what}: the server lost writes that it had acknowledged (a replica was promoted, it came back \
             without its append-only file, keys were evicted or deleted{expired}); start again, to go on from the \
             newest checkpoint that is left"
        );
        Err(storage_error("head", HEAD, reason))
    }

    /// Refuses to put an object if another writer has the head in the same generation, which happens where the server lost
    /// a head: its objects have the names of ours.
    pub(super) fn check_head_is_ours(&mut self, object: &str) -> Result<(), CoreError> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let mut get = cmd("HMGET");
        get.arg(&self.job.head).arg("token").arg("swaps");
        let (token, swaps): (Option<String>, Option<u64>) = self.run("put", object, &get)?;
        if token.is_some_and(|token| self.tokens.contains(&token)) {
            return Ok(());
        }
        self.check_not_back(swaps.unwrap_or(0))?;
        let generation = match self.read_head()? {
            Some(record) => Head::from_bytes(&record)?.generation,
            None => 0,
        };
        if ObjectId::from_name(object).is_none_or(|object| object.generation != generation) {
            // Names of another generation are others; the swap says who has taken over.
            return Ok(());
        }
        let reason = format!(
            "{}: another writer has the head, with the generation of this one: the server lost a head that it had \
             acknowledged; nothing was written; start again, to go on from the newest checkpoint that is left",
            self.link.address()
        );
        Err(storage_error("put", object, reason))
    }
}
