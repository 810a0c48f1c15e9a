//! What the benchmarks share: payloads, plain maps to compare with, an allocator that counts.

pub mod flights;
pub mod memory;
pub mod rows;

use eventflux_core::StateHolder;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// A value of 16 bytes once encoded: two words, 8 bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload(pub [u8; 8], pub [u8; 8]);

impl Payload {
    /// A value that depends on a number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Payload(number.to_le_bytes(), number.rotate_left(17).to_le_bytes())
    }
}

/// Keys of 8 bytes, values encoded by postcard like those of a holder, 16 bytes, and no tracking:
/// the leanest map that does the same.
#[derive(Debug, Default)]
pub struct PlainMap {
    map: HashMap<[u8; 8], [u8; 16]>,
}

impl PlainMap {
    /// Encodes and writes a value.
    pub fn set(&mut self, key: &[u8; 8], value: &Payload) {
        let mut encoded = [0; 16];
        postcard::to_slice(value, &mut encoded).expect("it takes 16 bytes");
        self.map.insert(*key, encoded);
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

/// A plain map of so many keys.
#[must_use]
pub fn filled_plain(keys: u64) -> PlainMap {
    let mut map = PlainMap::default();
    for key in 0..keys {
        map.set(&key.to_be_bytes(), &Payload::new(key));
    }
    map
}

/// A holder of so many keys, all of them dirty.
#[must_use]
pub fn filled_holder(keys: u64) -> StateHolder {
    let mut holder = StateHolder::builder("bench").build().expect("the defaults are good");
    for key in 0..keys {
        holder.set(key.to_be_bytes(), &Payload::new(key)).expect("there is no budget");
    }
    holder
}

/// A whole number with its thousands apart.
#[must_use]
pub fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Deterministic numbers: SplitMix64 (G. L. Steele et al., 2014).
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Numbers from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
