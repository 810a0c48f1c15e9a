//! XXH3 of pieces, as if they lay together: Y. Collet, *XXH3*, 64 bits, seed 0, in version 0.1.1 of its specification.
//!
//! Beside the crate's, which hashes one slice, or streams: what streams has 576 bytes on the stack, and takes 2 KB of
//! flash. This has 64 bytes for each of its sums and for what it reads, and room for what is short.

use super::hash64;

const STRIPE_BYTES: usize = 64;
/// Up to here the function is another one.
const SHORT_BYTES: usize = 240;
/// How far the secret moves on with each stripe, and after how many it begins anew.
const SECRET_STEP: usize = 8;
const BLOCK_STRIPES: usize = (SECRET.len() - STRIPE_BYTES) / SECRET_STEP;

const PRIME32: [u32; 3] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d];
const PRIME64: [u64; 5] =
    [0x9e37_79b1_85eb_ca87, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63, 0x27d4_eb2f_1656_67c5];

#[rustfmt::skip]
const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
];

type Sums = [u64; 8];

/// The hash of pieces, one behind the other.
pub(crate) fn hash64_of(pieces: [&[u8]; 3]) -> u64 {
    let len = pieces.iter().map(|piece| piece.len()).sum::<usize>();
    if len <= SHORT_BYTES { hash_short(&pieces, len) } else { hash_long(&pieces, len) }
}

#[inline(never)]
fn hash_short(pieces: &[&[u8]; 3], len: usize) -> u64 {
    let mut together = [0; SHORT_BYTES];
    copy(pieces, 0, &mut together[..len]);
    hash64(&together[..len])
}

#[inline(never)]
fn hash_long(pieces: &[&[u8]; 3], len: usize) -> u64 {
    let [a, b, c] = PRIME32.map(u64::from);
    let [d, e, f, g, h] = PRIME64;
    let mut sums = [c, d, e, f, g, b, h, a];
    let mut stripe = [0; STRIPE_BYTES];
    // The last bytes come once more, or for the first time, as a stripe of their own.
    for number in 0..(len - 1) / STRIPE_BYTES {
        copy(pieces, number * STRIPE_BYTES, &mut stripe);
        let in_block = number % BLOCK_STRIPES;
        add(&mut sums, &stripe, in_block * SECRET_STEP);
        if in_block == BLOCK_STRIPES - 1 {
            scramble(&mut sums);
        }
    }
    copy(pieces, len - STRIPE_BYTES, &mut stripe);
    add(&mut sums, &stripe, SECRET.len() - STRIPE_BYTES - 7);
    merge(&sums, (len as u64).wrapping_mul(PRIME64[0]))
}

/// Fills `out` with what lies from a place on, were the pieces together.
fn copy(pieces: &[&[u8]; 3], mut at: usize, mut out: &mut [u8]) {
    for piece in pieces {
        let here = piece.get(at..).unwrap_or_default();
        at = at.saturating_sub(piece.len());
        let count = here.len().min(out.len());
        let (filled, rest) = out.split_at_mut(count);
        filled.copy_from_slice(&here[..count]);
        out = rest;
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk).copied();
    u64::from_le_bytes(word.unwrap_or_default())
}

fn add(sums: &mut Sums, stripe: &[u8; STRIPE_BYTES], secret: usize) {
    for lane in 0..sums.len() {
        let value = word(stripe, lane * 8);
        let keyed = value ^ word(&SECRET, secret + lane * 8);
        sums[lane ^ 1] = sums[lane ^ 1].wrapping_add(value);
        sums[lane] = sums[lane].wrapping_add((keyed & 0xffff_ffff).wrapping_mul(keyed >> 32));
    }
}

fn scramble(sums: &mut Sums) {
    for (lane, sum) in sums.iter_mut().enumerate() {
        let mixed = *sum ^ *sum >> 47 ^ word(&SECRET, SECRET.len() - STRIPE_BYTES + lane * 8);
        *sum = mixed.wrapping_mul(u64::from(PRIME32[0]));
    }
}

fn merge(sums: &Sums, start: u64) -> u64 {
    let mut hash = start;
    for (pair, sums) in sums.chunks_exact(2).enumerate() {
        let keyed = |of: usize| u128::from(sums[of] ^ word(&SECRET, 11 + pair * 16 + of * 8));
        let product = keyed(0).wrapping_mul(keyed(1));
        hash = hash.wrapping_add(product as u64 ^ (product >> 64) as u64);
    }
    hash ^= hash >> 37;
    hash = hash.wrapping_mul(0x1656_6791_9e37_79f9);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn pieces_hash_like_the_whole() {
        let bytes: Vec<u8> = (0..5000_u32).map(|number| ((number * number) >> 3) as u8).collect();
        let lengths = (0..700).chain([1023, 1024, 1025, 1088, 2047, 2048, 2049, 2113, 4096, 5000]);
        for len in lengths {
            for (first, second) in [(0, 0), (24, len), (1, 2), (63, 65), (100, 400), (len, len)] {
                let (first, second) = (first.min(len), second.min(len));
                let pieces = [&bytes[..first], &bytes[first..second.max(first)], &bytes[second.max(first)..len]];
                assert_eq!(hash64_of(pieces), hash64(&bytes[..len]), "{len} bytes, cut at {first} and {second}");
            }
        }
    }
}
