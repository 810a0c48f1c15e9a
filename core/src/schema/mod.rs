//! What plain values are made of: found out from their Rust type, written into the checkpoint, and used by tools to read
//! the values without the program.
//!
//! The schema comes from `Deserialize`, which every value has that [`StateHolder::get`](crate::StateHolder::get) can
//! read. There is deliberately no derive beside it: it would have to be kept equal to serde's, attribute by attribute,
//! and a schema that says another thing than the bytes is worse than none.

mod decode;
mod text;
mod trace;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::de::DeserializeOwned;

/// The schema of values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    root: Type,
    /// Types that contain themselves, or occur more than once.
    types: Vec<Type>,
}

/// What a value, or a part of one, is.
#[derive(Debug, Clone, PartialEq)]
enum Type {
    Scalar(Scalar),
    Option(Box<Type>),
    List(Box<Type>),
    Map(Box<(Type, Type)>),
    /// So many values, each of a type of its own.
    Tuple(Vec<Type>),
    /// So many values of one type.
    Array(Box<Type>, u64),
    Struct(Vec<(String, Type)>),
    /// Variants by number, with what follows; nothing follows that of a name alone.
    Enum(Vec<(String, Option<Type>)>),
    /// One of [`Schema::types`].
    Named(usize),
}

/// What is not made of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Unit,
    Bool,
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    Char,
    Text,
    Bytes,
}

impl Schema {
    /// The schema of a type, as text.
    ///
    /// # Errors
    /// What of the type cannot be described, and why.
    pub(crate) fn describe<T: DeserializeOwned>() -> Result<String, String> {
        let schema = trace::schema_of::<T>()?;
        let text = schema.to_text();
        match Schema::from_text(&text) {
            Some(Ok(read)) if read == schema => Ok(text),
            _ => Err("it is nested too deeply".into()),
        }
    }
}

#[cfg(test)]
mod tests;
