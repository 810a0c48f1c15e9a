//! FORMAT.md, "Notation": numbers, texts and lists.

/// Bytes read from front to back.
#[derive(Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap()
    }

    pub fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// Two bytes, little-endian.
    pub fn le16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// Eight bytes, little-endian.
    pub fn le64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub fn f64(&mut self) -> f64 {
        f64::from_bits(self.le64())
    }

    /// `uint`: seven bits a byte, the low ones first, the top bit set in all bytes but the last.
    pub fn uint128(&mut self) -> u128 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = self.u8();
            number |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    pub fn uint(&mut self) -> u64 {
        self.uint128().try_into().unwrap()
    }

    /// `int`: 0, -1, 1, -2, … as `uint` 0, 1, 2, 3, …
    pub fn int128(&mut self) -> i128 {
        let number = self.uint128();
        (number >> 1) as i128 ^ -((number & 1) as i128)
    }

    pub fn int(&mut self) -> i64 {
        self.int128().try_into().unwrap()
    }

    pub fn bool(&mut self) -> bool {
        match self.u8() {
            0 => false,
            1 => true,
            other => panic!("{other} is no bool"),
        }
    }

    pub fn text(&mut self) -> String {
        let len = self.uint() as usize;
        String::from_utf8(self.take(len).to_vec()).unwrap()
    }

    pub fn option<T>(&mut self, some: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| some(self))
    }

    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.uint()).map(|_| item(self)).collect()
    }

    /// A record ends where its bytes end.
    #[track_caller]
    pub fn end(self) {
        assert!(self.0.is_empty(), "{} bytes are left over", self.0.len());
    }
}
