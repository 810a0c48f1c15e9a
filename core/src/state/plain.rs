//! Plain keyed values: opaque bytes, whose change is the whole value.

use alloc::vec::Vec;

use postcard::Serializer;
use postcard::ser_flavors::Flavor;
use serde::Serialize;

use crate::bytes::{INLINE_BYTES, SmallBytes};
use crate::format::Malformed;
use crate::format::columns::ColumnRow;
use crate::format::rows::Form;
use crate::tracked::sealed::Sealed;
use crate::value::Footprint;

/// An encoded value of [`StateHolder::set`](crate::StateHolder::set).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainValue(SmallBytes);

impl PlainValue {
    #[inline]
    pub(crate) fn new(bytes: &[u8]) -> Self {
        PlainValue(SmallBytes::new(bytes))
    }

    /// Encodes another value over this one, if both are short. Whether it did; if not, or if the
    /// value's `Serialize` panics, this one is as it was.
    #[inline]
    pub(crate) fn encode<T: Serialize + ?Sized>(&mut self, value: &T) -> bool {
        let SmallBytes::Inline { len, data } = &mut self.0 else { return false };
        let mut serializer = Serializer { output: InPlace { before: *data, data, len: 0, done: false } };
        if value.serialize(&mut serializer).is_err() {
            return false;
        }
        let output = &mut serializer.output;
        output.done = true;
        if output.len < usize::from(*len) {
            // Inline bytes behind the last are zero.
            output.data[output.len..].fill(0);
        }
        *len = output.len as u8;
        true
    }

    /// The encoded bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Takes encoded bytes where the value lies: a copy of what was just written byte by byte would have
/// to wait for all writes before it. Puts the old bytes back unless all went well.
struct InPlace<'a> {
    data: &'a mut [u8; INLINE_BYTES],
    len: usize,
    before: [u8; INLINE_BYTES],
    done: bool,
}

impl Flavor for InPlace<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        *self.data.get_mut(self.len).ok_or(postcard::Error::SerializeBufferFull)? = byte;
        self.len += 1;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl Drop for InPlace<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.done {
            *self.data = self.before;
        }
    }
}

impl Sealed for PlainValue {
    const CHANGES_IN_PART: bool = false;

    fn write_whole(&self, out: &mut Vec<u8>) {
        self.0.append_to(out);
    }

    fn write_change(&self, out: &mut Vec<u8>) -> Form {
        self.write_whole(out);
        Form::Whole
    }

    fn read_whole(bytes: &[u8]) -> Result<Self, Malformed> {
        Ok(PlainValue::new(bytes))
    }

    fn apply_change(&mut self, _: &[u8]) -> Result<(), Malformed> {
        Err(Malformed::new("a plain value does not change in part"))
    }

    fn read_columns(row: &mut ColumnRow<'_, '_>) -> Result<Self, Malformed> {
        row.plain_value().map(PlainValue::new)
    }

    fn apply_columns(&mut self, _: &mut ColumnRow<'_, '_>) -> Result<(), Malformed> {
        self.apply_change(&[])
    }

    fn settle(&mut self) {}

    fn take_place(&mut self) {}

    // In every update; plugins, which are made small, would call it twice.
    #[inline(always)]
    fn footprint(&self) -> Footprint {
        match &self.0 {
            SmallBytes::Inline { len, .. } => Footprint { memory: 0, encoded: u64::from(*len) },
            SmallBytes::Heap(bytes) => Footprint { memory: self.0.heap_bytes() as u64, encoded: bytes.len() as u64 },
        }
    }
}
