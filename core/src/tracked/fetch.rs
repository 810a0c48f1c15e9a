//! Many keys at once: what they need comes into the cache before the first one is looked up.
//!
//! A lookup waits for memory three times: for the directory, the page and the entry. Of one key each has to wait for
//! the one before it; those of several keys wait together.

use core::hint::black_box;

use super::key::MapKey;
use super::map::TrackedMap;
use super::sealed::Sealed;

/// Keys that are fetched at once.
pub(crate) const FETCHED_KEYS: usize = 32;

impl<V: Sealed> TrackedMap<V> {
    /// Reads something of the entry of each of up to [`FETCHED_KEYS`] keys, if it has one.
    pub(crate) fn fetch(&self, keys: &[MapKey<'_>]) {
        let of = |key: &MapKey<'_>| &self.groups[self.group_of(key.hash())];
        let (mut pages, mut places) = ([None; FETCHED_KEYS], [0; FETCHED_KEYS]);
        for (page, key) in pages.iter_mut().zip(keys) {
            *page = of(key).page_of(key.hash());
        }
        for ((places, page), key) in places.iter_mut().zip(pages).zip(keys) {
            *places = page.map_or(0, |page| of(key).places_in(page, key.hash()));
        }
        let entries = places.iter().zip(pages).zip(keys);
        let read = entries.map(|((places, page), key)| page.map_or(0, |page| of(key).peek(page, *places)));
        black_box(read.fold(0, |all, read| all ^ read));
    }
}
