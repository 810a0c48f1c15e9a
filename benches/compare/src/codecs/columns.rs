//! Windows of events as columns: what codecs of columns start from and end with.

use eventflux_core::{Event, Value};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::data::WindowRows;

/// Kinds of values, as [`Column::kinds`] has them.
pub const NULL: u8 = 0;
/// False or true.
pub const BOOL: u8 = 1;
/// A whole number.
pub const INT: u8 = 2;
/// Another number.
pub const FLOAT: u8 = 3;
/// A string.
pub const STR: u8 = 4;

/// All windows: who they are, and columns over the events of all of them.
#[derive(Debug, Default)]
pub struct Columns {
    /// The windows, without their events.
    pub heads: Vec<Head>,
    /// Times of all events.
    pub timestamps: Vec<i64>,
    /// One a field.
    pub columns: Vec<Column>,
}

/// A window without its events.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    key: Vec<u8>,
    start: i64,
    end: i64,
    events: u32,
}

/// One field of all events: of what kind each value is, and the values of each kind.
#[derive(Debug, Default)]
pub struct Column {
    /// One an event.
    pub kinds: Vec<u8>,
    /// The booleans, 0 or 1.
    pub bools: Vec<u8>,
    /// The whole numbers.
    pub ints: Vec<i64>,
    /// The other numbers.
    pub floats: Vec<f64>,
    /// The strings, as places in the dictionary.
    pub words: Vec<u32>,
    /// The different strings, in the order of their first coming.
    pub dictionary: Vec<String>,
}

impl Columns {
    /// The columns of windows. All events have the same number of values.
    pub fn from_windows(windows: &[WindowRows]) -> Self {
        let fields = windows.iter().flat_map(|window| &window.events).next().map_or(0, |event| event.values.len());
        let mut columns: Vec<Column> = (0..fields).map(|_| Column::default()).collect();
        let mut places: Vec<HashMap<&str, u32>> = vec![HashMap::new(); fields];
        let mut all = Columns::default();
        for window in windows {
            let events = window.events.len() as u32;
            all.heads.push(Head { key: window.key.clone(), start: window.start, end: window.end, events });
            for event in &window.events {
                assert_eq!(event.values.len(), fields, "all events have the same fields");
                all.timestamps.push(event.timestamp);
                for ((value, column), places) in event.values.iter().zip(&mut columns).zip(&mut places) {
                    column.push(value, places);
                }
            }
        }
        all.columns = columns;
        all
    }

    /// The windows again.
    pub fn into_windows(self) -> Vec<WindowRows> {
        let words: Vec<Vec<Value>> = self.columns.iter().map(Column::words_as_values).collect();
        let mut columns: Vec<Reader<'_>> =
            self.columns.iter().zip(&words).map(|(column, words)| Reader::new(column, words)).collect();
        let mut timestamps = self.timestamps.iter();
        let mut to_window = |head: Head| {
            let next_event = |timestamp: &i64| Event::new(*timestamp, columns.iter_mut().map(Reader::next).collect());
            let events = timestamps.by_ref().take(head.events as usize).map(next_event).collect();
            WindowRows { key: head.key, start: head.start, end: head.end, events }
        };
        self.heads.into_iter().map(&mut to_window).collect()
    }
}

impl Column {
    fn push<'a>(&mut self, value: &'a Value, places: &mut HashMap<&'a str, u32>) {
        match value {
            Value::Null => self.kinds.push(NULL),
            Value::Bool(bool) => {
                self.kinds.push(BOOL);
                self.bools.push(u8::from(*bool));
            }
            Value::Int(int) => {
                self.kinds.push(INT);
                self.ints.push(*int);
            }
            Value::Float(float) => {
                self.kinds.push(FLOAT);
                self.floats.push(*float);
            }
            Value::Str(text) => {
                self.kinds.push(STR);
                let place = *places.entry(text.as_str()).or_insert_with(|| {
                    self.dictionary.push(text.as_str().into());
                    self.dictionary.len() as u32 - 1
                });
                self.words.push(place);
            }
        }
    }

    fn words_as_values(&self) -> Vec<Value> {
        self.dictionary.iter().map(|word| Value::from(word.as_str())).collect()
    }
}

/// Reads a column from its beginning.
struct Reader<'a> {
    kinds: std::slice::Iter<'a, u8>,
    bools: std::slice::Iter<'a, u8>,
    ints: std::slice::Iter<'a, i64>,
    floats: std::slice::Iter<'a, f64>,
    words: std::slice::Iter<'a, u32>,
    dictionary: &'a [Value],
}

impl<'a> Reader<'a> {
    fn new(column: &'a Column, dictionary: &'a [Value]) -> Self {
        Reader {
            kinds: column.kinds.iter(),
            bools: column.bools.iter(),
            ints: column.ints.iter(),
            floats: column.floats.iter(),
            words: column.words.iter(),
            dictionary,
        }
    }

    fn next(&mut self) -> Value {
        let value = match self.kinds.next() {
            Some(&BOOL) => self.bools.next().map(|bool| Value::Bool(*bool == 1)),
            Some(&INT) => self.ints.next().map(|int| Value::Int(*int)),
            Some(&FLOAT) => self.floats.next().map(|float| Value::Float(*float)),
            Some(&STR) => self.words.next().map(|word| self.dictionary[*word as usize].clone()),
            _ => Some(Value::Null),
        };
        value.expect("as many values as kinds")
    }
}
