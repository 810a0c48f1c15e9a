//! Apache Parquet with Zstandard, level 3, through its own writers and readers of columns (no Arrow).
//!
//! A column of the file for each kind of value that a field has, all optional. The list of the windows goes beside the
//! file, as it does for pcodec.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Repetition, Type as Physical, ZstdLevel};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::Codec;
use super::columns::{BOOL, Column, Columns, FLOAT, INT, NULL, STR};
use crate::data::WindowRows;

/// Parquet with Zstandard.
pub struct Parquet;

const LEVEL: i32 = 3;
const KINDS: [(u8, Physical); 4] =
    [(BOOL, Physical::BOOLEAN), (INT, Physical::INT64), (FLOAT, Physical::DOUBLE), (STR, Physical::BYTE_ARRAY)];

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

impl Codec<Vec<WindowRows>> for Parquet {
    fn name(&self) -> String {
        format!("Parquet + zstd-{LEVEL}")
    }

    fn encode(&self, state: &Vec<WindowRows>) -> Vec<u8> {
        let all = Columns::from_windows(state);
        let mut fields = vec![field("time".into(), Physical::INT64, Repetition::REQUIRED)];
        for (at, column) in all.columns.iter().enumerate() {
            for (_, physical) in kinds_of(column) {
                fields.push(field(format!("{at}.{physical}"), physical, Repetition::OPTIONAL));
            }
        }
        let schema = Type::group_type_builder("events").with_fields(fields).build().expect("a good schema");
        let level = ZstdLevel::try_new(LEVEL).expect("a level of Zstandard");
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let mut file =
            SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties)).expect("a good schema");
        let mut group = file.next_row_group().expect("memory has room");
        write::<Int64Type>(&mut group, &all.timestamps, None);
        for column in &all.columns {
            for (kind, _) in kinds_of(column) {
                write_kind(&mut group, column, kind);
            }
        }
        group.close().expect("all columns were written");
        let file = file.into_inner().expect("memory has room");
        let heads = zstd::bulk::compress(&postcard::to_stdvec(&all.heads).expect("memory has room"), LEVEL);
        postcard::to_stdvec(&(heads.expect("memory has room"), file)).expect("memory has room")
    }

    fn decode(&self, bytes: &[u8]) -> Vec<WindowRows> {
        let (heads, file): (&[u8], &[u8]) = postcard::from_bytes(bytes).expect("it was encoded");
        let heads = zstd::decode_all(heads).expect("it was encoded");
        let file = SerializedFileReader::new(Bytes::copy_from_slice(file)).expect("it was encoded");
        let group = file.get_row_group(0).expect("it was encoded");
        let (timestamps, _) = read::<Int64Type>(&*group, 0);
        let mut columns: Vec<Column> = Vec::new();
        for (place, field) in file.metadata().file_metadata().schema_descr().columns().iter().enumerate().skip(1) {
            let (at, _) = field.name().split_once('.').expect("as it was written");
            let at: usize = at.parse().expect("as it was written");
            columns.resize_with(columns.len().max(at + 1), Column::default);
            read_kind(&*group, place, field.physical_type(), timestamps.len(), &mut columns[at]);
        }
        let heads = postcard::from_bytes(&heads).expect("it was encoded");
        Columns { heads, timestamps, columns }.into_windows()
    }
}

fn field(name: String, physical: Physical, repetition: Repetition) -> Arc<Type> {
    let field = Type::primitive_type_builder(&name, physical).with_repetition(repetition);
    Arc::new(field.build().expect("a good field"))
}

/// Kinds that a column has; whole numbers if it has none, so that nulls are counted too.
fn kinds_of(column: &Column) -> Vec<(u8, Physical)> {
    let has = |kind: u8| match kind {
        BOOL => !column.bools.is_empty(),
        FLOAT => !column.floats.is_empty(),
        STR => !column.words.is_empty(),
        _ => !column.ints.is_empty() || column.kinds.iter().all(|kind| *kind == NULL),
    };
    KINDS.into_iter().filter(|(kind, _)| has(*kind)).collect()
}

fn write_kind(group: &mut Group<'_>, column: &Column, kind: u8) {
    let levels: Vec<i16> = column.kinds.iter().map(|other| i16::from(*other == kind)).collect();
    match kind {
        BOOL => {
            let bools: Vec<bool> = column.bools.iter().map(|bool| *bool == 1).collect();
            write::<BoolType>(group, &bools, Some(&levels));
        }
        FLOAT => write::<DoubleType>(group, &column.floats, Some(&levels)),
        STR => {
            let dictionary: Vec<ByteArray> = column.dictionary.iter().map(|word| word.as_str().into()).collect();
            let words: Vec<ByteArray> = column.words.iter().map(|word| dictionary[*word as usize].clone()).collect();
            write::<ByteArrayType>(group, &words, Some(&levels));
        }
        _ => write::<Int64Type>(group, &column.ints, Some(&levels)),
    }
}

fn write<T: DataType>(group: &mut Group<'_>, values: &[T::T], levels: Option<&[i16]>) {
    let mut column = group.next_column().expect("as in the schema").expect("as in the schema");
    column.typed::<T>().write_batch(values, levels, None).expect("memory has room");
    column.close().expect("memory has room");
}

fn read_kind(group: &dyn RowGroupReader, place: usize, physical: Physical, events: usize, column: &mut Column) {
    column.kinds.resize(events, NULL);
    let (kind, _) = KINDS.into_iter().find(|(_, other)| *other == physical).expect("a kind that was written");
    let levels = match kind {
        BOOL => {
            let (bools, levels) = read::<BoolType>(group, place);
            column.bools = bools.into_iter().map(u8::from).collect();
            levels
        }
        FLOAT => {
            let (floats, levels) = read::<DoubleType>(group, place);
            column.floats = floats;
            levels
        }
        STR => {
            let (words, levels) = read::<ByteArrayType>(group, place);
            take_words(&words, column);
            levels
        }
        _ => {
            let (ints, levels) = read::<Int64Type>(group, place);
            column.ints = ints;
            levels
        }
    };
    let marked = column.kinds.iter_mut().zip(&levels).filter(|(_, level)| **level == 1);
    marked.for_each(|(held, _)| *held = kind);
}

/// The dictionary again: the reader gives every string anew.
fn take_words(words: &[ByteArray], column: &mut Column) {
    let mut places = hashbrown::HashMap::new();
    for word in words {
        let place = *places.entry(word.data()).or_insert_with(|| {
            column.dictionary.push(String::from_utf8_lossy(word.data()).into_owned());
            column.dictionary.len() as u32 - 1
        });
        column.words.push(place);
    }
}

fn read<T: DataType>(group: &dyn RowGroupReader, place: usize) -> (Vec<T::T>, Vec<i16>) {
    let rows = group.metadata().num_rows() as usize;
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(place).expect("it was encoded"));
    let (mut values, mut levels) = (Vec::with_capacity(rows), Vec::new());
    let mut read = 0;
    while read < rows {
        let definition = (place > 0).then_some(&mut levels);
        read += reader.read_records(rows - read, definition, None, &mut values).expect("it was encoded").0;
    }
    (values, levels)
}
