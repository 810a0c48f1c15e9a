//! Rows of every kind, taken apart and put together again.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::manifest::StateKind;
use super::super::payload::{At, Sink};
use super::super::row_block::RowBlock;
use super::super::rows::Form;
use super::super::{Cursor, accumulator, append_varint, key, pattern, window};
use super::*;
use crate::bytes::SmallBytes;
use crate::definition::Function;
use crate::limits::COLUMNS_RATIO_MAX;
use crate::pace::{Pace, at_once};
use crate::state::{Accumulator, AggregationState, PatternState, PlainValue, WindowState};
use crate::tracked::sealed::Sealed;
use crate::value::{BufferedEvent, Event, Value};

type Rows = Vec<(u16, Vec<(Vec<u8>, Form, Vec<u8>)>)>;

/// Encodes sections with one plan and reads them back: the same rows, from exactly the bytes there are.
fn round_trip(kind: StateKind, sections: &[Rows]) {
    let to_block = |rows: &Vec<(Vec<u8>, Form, Vec<u8>)>| {
        let mut block = RowBlock::default();
        for (key, form, payload) in rows {
            block.push(&SmallBytes::new(key), |out| {
                out.extend_from_slice(payload);
                *form
            });
        }
        block.sort();
        block
    };
    let blocks: Vec<Vec<(u16, RowBlock)>> =
        sections.iter().map(|rows| rows.iter().map(|(group, rows)| (*group, to_block(rows))).collect()).collect();
    let slices: Vec<&[(u16, RowBlock)]> = blocks.iter().map(Vec::as_slice).collect();
    let encoded = at_once(encode(kind, &slices, &Pace::default())).unwrap();
    let mut cursor = Cursor::new(&encoded.plan);
    // A reader grants as much as the writer says that there is.
    let plan = Plan::read(&mut cursor, encoded.plan_cells.div_ceil(COLUMNS_RATIO_MAX)).unwrap();
    assert!(cursor.is_empty());
    for (at, blocks) in blocks.iter().enumerate() {
        let mut bytes = Vec::new();
        at_once(encoded.append_section(at, &mut bytes, &Pace::default()));
        let raw = blocks.iter().map(|(group, rows)| rows.raw_bytes(*group)).sum();
        let mut seen = Vec::new();
        let read = |bytes: &[u8], raw, seen: &mut Vec<_>| {
            let mut each = |mut row: ColumnRow<'_, '_>| {
                let mut payload = Vec::new();
                if row.form != Form::Removed {
                    match kind {
                        StateKind::Values => payload.extend_from_slice(row.plain_value()?),
                        StateKind::Windows => window::copy(row.source, &mut payload)?,
                        StateKind::Patterns => pattern::copy(row.source, &mut payload)?,
                        StateKind::Aggregations => accumulator::GROUP.copy(row.source, &mut payload)?,
                    }
                }
                seen.push((row.group, row.key.to_vec(), row.form, payload));
                Ok(())
            };
            read_section(&plan, (bytes, raw), None, |rows| rows.for_each(|_, row| each(row)))
        };
        read(&bytes, raw, &mut seen).unwrap();
        let wanted: Vec<_> = blocks
            .iter()
            .flat_map(|(group, rows)| rows.iter().map(|row| (*group, row.key.to_vec(), row.form, row.payload.to_vec())))
            .collect();
        assert_eq!(seen, wanted);
        // One byte less, or less than there is as rows, is noticed.
        if let Some((_, shorter)) = bytes.split_last() {
            assert!(read(shorter, raw, &mut Vec::new()).is_err());
        }
        bytes.push(0);
        assert!(read(&bytes, raw, &mut Vec::new()).is_err());
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        4 => (-20_i64..20).prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        2 => (-9_i32..9).prop_map(|number| Value::from(f64::from(number) / 4.0)),
        2 => "[ab]{0,2}".prop_map(|text| Value::from(text.as_str())),
        1 => "[ab]{0,40}".prop_map(|text| Value::from(text.as_str())),
    ]
}

fn any_event() -> impl Strategy<Value = BufferedEvent> {
    let values = prop_oneof![9 => prop::collection::vec(any_value(), 3), 1 => prop::collection::vec(any_value(), 0..5)];
    (any::<u16>(), -1000_i64..1000, values).prop_map(|(sequence, time, values)| BufferedEvent {
        sequence: u64::from(sequence),
        event: Event::new(time, values),
    })
}

fn any_accumulators() -> impl Strategy<Value = Vec<Accumulator>> {
    let functions = prop_oneof![
        3 => Just(alloc::vec![Function::Count, Function::Sum, Function::First, Function::Distinct, Function::Median]),
        1 => Just(alloc::vec![Function::Min, Function::Max, Function::Avg, Function::Stddev, Function::Last]),
        1 => Just(Vec::new()),
    ];
    (functions, prop::collection::vec(any_value(), 0..6)).prop_map(|(functions, values)| {
        let mut accumulators: Vec<Accumulator> = functions.into_iter().map(Accumulator::new).collect();
        for (value, time) in values.iter().zip(0..) {
            // What one of them cannot take is none of theirs.
            accumulators.iter_mut().for_each(|accumulator| drop(accumulator.add(time, value)));
        }
        accumulators
    })
}

fn any_windows() -> impl Strategy<Value = WindowState> {
    let window = (-5_i64..5, prop::collection::vec(any_event(), 0..6), any_accumulators());
    prop::collection::vec(window, 0..4).prop_map(|windows| {
        let mut state = WindowState::new();
        for (start, events, accumulators) in windows {
            state.update(start * 100, |window| {
                window.set_end(if start == 0 { i64::MAX } else { start * 100 + 100 });
                events.into_iter().for_each(|event| window.push_back(event));
                *window.accumulators_mut() = accumulators;
            });
        }
        state
    })
}

fn any_pattern() -> impl Strategy<Value = PatternState> {
    (prop::collection::vec(any_event(), 0..5), prop::collection::vec(any_event(), 0..5)).prop_map(|(waiting, first)| {
        let mut state = PatternState::new();
        waiting.into_iter().for_each(|event| state.wait(event));
        for (event, at) in first.into_iter().zip(0..) {
            let next = event.event.clone();
            // Not if the number is there already.
            if state.start(event).is_ok() && at % 2 == 0 {
                state.advance(state.partials().len() - 1, next);
            }
        }
        state
    })
}

/// Rows of several sections: keys of one of the three shapes, a whole or a change of each value.
fn any_rows<V: Sealed + core::fmt::Debug>(value: impl Strategy<Value = V>) -> impl Strategy<Value = Vec<Rows>> {
    let row = (any::<u16>(), any_value(), 0..4_u8, value);
    (0..3_u8, prop::collection::vec(row, 1..120), 1..4_usize).prop_map(|(shape, rows, sections)| {
        let mut made: Vec<Rows> = (0..sections).map(|_| Rows::new()).collect();
        for (number, (key, of_key, form, value)) in rows.into_iter().enumerate() {
            let mut bytes = Vec::new();
            match shape {
                0 => key::append_value(&mut bytes, &of_key),
                1 => bytes.extend_from_slice(&u64::from(key).to_le_bytes()),
                _ => bytes.extend_from_slice(&alloc::vec![b'k'; usize::from(key % 30)]),
            }
            let mut payload = Vec::new();
            let form = match form {
                0 => Form::Removed,
                1 => value.write_change(&mut payload),
                _ => {
                    value.write_whole(&mut payload);
                    Form::Whole
                }
            };
            let groups = &mut made[number % sections];
            let group = key % 5;
            let at = match groups.binary_search_by_key(&group, |(group, _)| *group) {
                Ok(at) => at,
                Err(at) => {
                    groups.insert(at, (group, Vec::new()));
                    at
                }
            };
            if groups[at].1.iter().all(|(other, ..)| *other != bytes) {
                groups[at].1.push((bytes, form, payload));
            }
        }
        made
    })
}

/// Values of a column: alike as they mostly are, or not at all.
fn any_column() -> impl Strategy<Value = Vec<Value>> {
    let of = |value: BoxedStrategy<Value>| prop::collection::vec(value, 150);
    prop_oneof![
        of(any_value().boxed()),
        of(any::<i64>().prop_map(Value::from).boxed()),
        of((-20_i64..20).prop_map(Value::from).boxed()),
        of(prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from)].boxed()),
        of(any::<f64>().prop_map(Value::from).boxed()),
        of("[a-z]{0,13}".prop_map(|text| Value::from(text.as_str())).boxed()),
        any_value().prop_map(|value| alloc::vec![value; 150]),
    ]
}

/// Windows of many events, of which most have as many values.
fn any_long_windows() -> impl Strategy<Value = WindowState> {
    let lens = prop::collection::vec(0_usize..90, 1..4);
    (prop::collection::vec(any_column(), 0..5), lens, any::<u64>(), 0_u32..64, 0_usize..300).prop_map(
        |(columns, lens, sequence, shift, odd)| {
            let mut state = WindowState::new();
            let mut events = (0..150).map(|at| {
                let mut values: Vec<Value> = columns.iter().map(|column| column[at].clone()).collect();
                if at == odd {
                    values.pop();
                }
                BufferedEvent {
                    sequence: (sequence >> shift).wrapping_add(at as u64),
                    event: Event::new(at as i64, values),
                }
            });
            for (len, start) in lens.into_iter().zip(0..) {
                let events = events.by_ref().take(len);
                state.update(start, |window| events.for_each(|event| window.push_back(event)));
            }
            state
        },
    )
}

/// Groups of a `stddev`, in several sections, some of them without a number.
/// An operator may have as many functions as an event has fields: rows hold them, and who verifies passes over them.
#[test]
fn more_than_columns_tell_apart_is_damage_of_columns_alone() {
    let counts = (0..5000).map(|_| Accumulator::new(Function::Count)).collect();
    let (mut group, mut windows) = (Vec::new(), Vec::new());
    AggregationState::new(counts).write_whole(&mut group);
    let mut state = WindowState::new();
    let event = Event::new(0, alloc::vec![Value::Null; 10_001]);
    state.update(0, |window| window.push_back(BufferedEvent { sequence: 0, event }));
    state.write_whole(&mut windows);
    for (kind, payload) in [(StateKind::Aggregations, group), (StateKind::Windows, windows)] {
        pass_over(kind, &payload).unwrap();
        let mut block = RowBlock::default();
        block.push(&SmallBytes::new(b"key"), |out| {
            out.extend_from_slice(&payload);
            Form::Change
        });
        assert!(at_once(encode(kind, &[&[(0, block)]], &Pace::default())).is_none());
    }
}

#[test]
fn means_over_counts_read_back() {
    let row = |number: u64| {
        let mut held = [Accumulator::new(Function::Stddev)];
        for at in 0..number * 7 % 12 {
            held[0].add(0, &Value::Int((number * 7919 + at * 104_729) as i64 % 5003)).unwrap();
        }
        let (mut key, mut payload) = (Vec::new(), Vec::new());
        key::append_value(&mut key, &Value::Int(number as i64));
        AggregationState::new(held.to_vec()).write_whole(&mut payload);
        (key, Form::Whole, payload)
    };
    let section = |from: u64| Vec::from([(0, (from..from + 150).map(row).collect::<Vec<_>>())]);
    round_trip(StateKind::Aggregations, &[0, 150, 300].map(section));
}

/// A plan of plain values of eight bytes with one more column, and what reading one row says.
fn read_with(column: &[u8], cells: &[u8]) -> Result<(), Malformed> {
    let integers = [0, 1 << 3 | 1 << 7, 0, 0, 0, 1];
    let plan = [&[0, 0, 1, 8, 1, 3, 2][..], &integers, column].concat();
    let plan = Plan::read(&mut Cursor::new(&plan), 100)?;
    plan.source(&[&[1, 10, 0][..], cells].concat(), 100, None).map(|_| ())
}

/// Sections that share a plan go through all its columns: there are no more than rows can have.
#[test]
fn a_table_has_no_more_columns_than_are_written() {
    let read = |table: u16, columns: u64| {
        let mut plan = alloc::vec![0, 0, 0, 0, 1];
        append_varint(&mut plan, u64::from(table));
        append_varint(&mut plan, columns);
        for column in 0..columns {
            append_varint(&mut plan, column);
            // Of no kind, direct.
            plan.extend([0, 0]);
        }
        Plan::read(&mut Cursor::new(&plan), 1000).map(|_| ())
    };
    let most = [(tables::KEYS, 64), (tables::EVENTS, 10_003), (tables::MATCHED, 10_003), (tables::PAYLOAD, 8)];
    for (table, most) in most.into_iter().chain([(tables::ACCUMULATORS, 8), (tables::END - 1, 8)]) {
        assert_eq!(read(table, most), Ok(()), "table {table}");
        assert!(read(table, most + 1).unwrap_err().reason().contains("more columns"), "table {table}");
    }
}

/// Changes are passed over, not applied: what is wrong with one by itself is damage all the same.
#[test]
fn a_change_is_read_as_strictly_as_a_whole() {
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let beyond = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
    let float = [0; 8];
    let count = |count: &[u8]| [&[1, 0][..], count].concat();
    let sum = |ints: &[u8], floats: &[u8]| [&[1, 1][..], ints, &[0], floats, &float].concat();
    // Twice the largest sum, and the one after that, as signed numbers are written.
    let wide = |last: u8| {
        let largest = (i64::MAX as u128) << 63 | u128::from(last > 0);
        let mut bytes = alloc::vec![1, 4, 0];
        Sink::int128(&mut bytes, At { table: 0, column: 0 }, At { table: 0, column: 0 }, largest as i128);
        bytes.extend(float);
        bytes
    };
    let text = |byte: u8| [4, 1, byte];
    let aggregations = [
        (count(&most), count(&beyond)),
        (sum(&[0], &most), sum(&[0], &beyond)),
        (sum(&most, &[0]), sum(&beyond, &[0])),
        ([&[1, 2, 1][..], &text(b'a')].concat(), [&[1, 2, 1][..], &text(0xff)].concat()),
        (alloc::vec![1, 3, 0], alloc::vec![1, 3, 2, 0]),
        (wide(0), wide(1)),
        ([&[1, 5][..], &most, &float, &float].concat(), [&[1, 5][..], &beyond, &float, &float].concat()),
        ([&[1, 6, 1, 0][..], &text(b'a')].concat(), [&[1, 6, 1, 0][..], &text(0xff)].concat()),
        (alloc::vec![1, 7, 0], alloc::vec![1, 7, 2, 0, 0]),
        ([&[1, 8, 0, 1][..], &text(b'a')].concat(), [&[1, 8, 0, 1][..], &text(0xff)].concat()),
    ];
    for (right, wrong) in aggregations {
        AggregationState::read_whole(&right).unwrap();
        assert_eq!(pass_over(StateKind::Aggregations, &right), Ok(()));
        AggregationState::read_whole(&wrong).unwrap_err();
        assert!(pass_over(StateKind::Aggregations, &wrong).is_err(), "{wrong:x?}");
    }
    let event = |byte: u8| [&[0, 0, 1][..], &text(byte)].concat();
    let window = |byte: u8| [&[0, 1, 0, 2, 0, 1][..], &event(byte), &[0]].concat();
    WindowState::read_whole(&window(b'a')).unwrap();
    assert_eq!(pass_over(StateKind::Windows, &window(b'a')), Ok(()));
    WindowState::read_whole(&window(0xff)).unwrap_err();
    assert!(pass_over(StateKind::Windows, &window(0xff)).is_err());
    let waiting = |byte: u8| [&[0, 1][..], &event(byte), &[0, 0]].concat();
    let partial = |events: &[u8]| [&[0, 0, 0, 1, 0, 0], events].concat();
    let matched = |byte: u8| partial(&[&[1][..], &event(byte)[1..]].concat());
    for (right, wrong) in
        [(waiting(b'a'), waiting(0xff)), (matched(b'a'), matched(0xff)), (matched(b'a'), partial(&[0]))]
    {
        PatternState::read_whole(&right).unwrap();
        assert_eq!(pass_over(StateKind::Patterns, &right), Ok(()));
        PatternState::read_whole(&wrong).unwrap_err();
        assert!(pass_over(StateKind::Patterns, &wrong).is_err(), "{wrong:x?}");
    }
}

#[test]
fn a_change_in_columns_is_read_as_strictly_as_in_rows() {
    for (byte, is_text) in [(b'a', true), (0xff, false)] {
        let mut block = RowBlock::default();
        block.push(&SmallBytes::new(b"key"), |out| {
            out.extend_from_slice(&[1, 2, 1, 4, 1, byte]);
            Form::Change
        });
        let (raw, section) = (block.raw_bytes(0), [(0, block)]);
        let encoded = at_once(encode(StateKind::Aggregations, &[&section[..]], &Pace::default())).unwrap();
        let plan = Plan::read(&mut Cursor::new(&encoded.plan), encoded.plan_cells).unwrap();
        let mut bytes = Vec::new();
        at_once(encoded.append_section(0, &mut bytes, &Pace::default()));
        let read = read_section(&plan, (&bytes, raw), None, |rows| rows.skip(StateKind::Aggregations));
        assert_eq!(read.is_ok(), is_text);
    }
}

/// Two kinds of so many cells as no machine has room for.
#[test]
fn cells_that_do_not_fit_into_memory_are_no_damage() {
    let plan = [0, 0, 1, 8, 1, 3, 1, 0, 1 << 3 | 1 << 7 | 1, 0, 0, 0, 1, 0, 0, 1];
    let plan = Plan::read(&mut Cursor::new(&plan), 100).unwrap();
    let mut cells = Vec::new();
    append_varint(&mut cells, 1 << (usize::BITS - 1));
    assert_eq!(plan.source(&cells, u64::MAX, None).map(|_| ()).unwrap_err(), Malformed::no_memory());
}

#[test]
fn quotients_are_over_integers_before_them() {
    let plain = [0, 0, 1, 0, 0, 1];
    let quotients = |kinds: u8, divisor: u8| [&[1, kinds, 3, divisor][..], &plain].concat();
    let doubles = 1 << 4 | 1 << 7;
    assert_eq!(read_with(&quotients(doubles, 0), &[2, 0, 0, 0]), Ok(()));
    // Cells are missing; over itself; over none; of several kinds; not aligned.
    assert!(read_with(&quotients(doubles, 0), &[2, 0]).is_err());
    assert!(read_with(&quotients(doubles, 1), &[2, 0, 0, 0]).is_err());
    assert!(read_with(&quotients(doubles, 2), &[2, 0, 0, 0]).is_err());
    assert!(read_with(&quotients(doubles | 1 << 3, 0), &[2, 0, 0, 0]).is_err());
    assert!(read_with(&quotients(1 << 4, 0), &[1, 2, 0, 0, 0]).is_err());
    // Integers of own widths have no runs, and none is wider than 64 bits.
    let of_form = |form: u8| [&[1, doubles, 3, 0][..], &[form, 0, 1], &plain[3..]].concat();
    assert_eq!(read_with(&of_form(1 << 7), &[0, 0, 0, 0]), Ok(()));
    assert!(read_with(&of_form(1 << 7), &[65, 0, 0, 0]).is_err());
    assert!(read_with(&of_form(1 << 7), &[64, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    assert!(read_with(&of_form(1 << 7 | 3), &[0, 0, 0, 0]).is_err());
    assert!(read_with(&of_form(17 << 2), &[0, 0, 0, 0]).is_err());
}

/// A window an hour of each key, whose events come at about the pace of the input, in several sections.
#[test]
fn numbers_and_times_of_events_go_along_each_other() {
    let row = |key: u64| {
        let mut state = WindowState::new();
        for hour in 0..3_i64 {
            state.update(hour * 3_600_000, |window| {
                window.set_end((hour + 1) * 3_600_000);
                for at in 0..20_u64 {
                    let sequence = 40_000 * hour as u64 + 2000 * at + key * 7919 % 2000;
                    let event = Event::new(sequence as i64 * 90, alloc::vec![Value::from((sequence / 3) as i64)]);
                    window.push_back(BufferedEvent { sequence, event });
                }
            });
        }
        let mut payload = Vec::new();
        state.write_whole(&mut payload);
        (key.to_be_bytes().to_vec(), Form::Whole, payload)
    };
    let section = |from: u64| Vec::from([(0, (from..from + 20).map(row).collect::<Vec<_>>())]);
    round_trip(StateKind::Windows, &[0, 20, 40].map(section));
}

#[test]
fn what_goes_along_integers_before_it_is_whatever_they_are() {
    let along = |kinds: u8, other: u8, shift: u8| alloc::vec![1, kinds, 4, 0, other, 2, shift, 0, 0, 1];
    let integers = 1 << 3 | 1 << 7;
    assert_eq!(read_with(&along(integers, 0, 0), &[2, 0]), Ok(()));
    assert_eq!(read_with(&along(integers, 0, 63), &[2, 0]), Ok(()));
    // Cells are missing; along itself; along none; shifted too far; of another kind; of several; not aligned.
    assert!(read_with(&along(integers, 0, 0), &[2]).is_err());
    assert!(read_with(&along(integers, 1, 0), &[2, 0]).is_err());
    assert!(read_with(&along(integers, 2, 0), &[2, 0]).is_err());
    assert!(read_with(&along(integers, 0, 64), &[2, 0]).is_err());
    assert!(read_with(&along(1 << 4 | 1 << 7, 0, 0), &[2, 0]).is_err());
    assert!(read_with(&along(integers | 1 << 4, 0, 0), &[2, 0]).is_err());
    assert!(read_with(&along(1 << 3, 0, 0), &[1, 2, 0]).is_err());
}

proptest! {
    #[test]
    fn windows_read_back(rows in any_rows(any_windows())) {
        round_trip(StateKind::Windows, &rows);
    }

    #[test]
    fn windows_are_restored_from_columns(state in any_long_windows()) {
        let mut block = RowBlock::default();
        block.push(&SmallBytes::new(b"key"), |out| {
            state.write_whole(out);
            Form::Whole
        });
        let (raw, section) = (block.raw_bytes(0), [(0, block)]);
        let encoded = at_once(encode(StateKind::Windows, &[&section[..]], &Pace::default())).unwrap();
        let plan = Plan::read(&mut Cursor::new(&encoded.plan), encoded.plan_cells).unwrap();
        let mut bytes = Vec::new();
        at_once(encoded.append_section(0, &mut bytes, &Pace::default()));
        let mut restored = None;
        let mut read = |mut row: ColumnRow<'_, '_>| WindowState::read_columns(&mut row).map(|state| restored = Some(state));
        read_section(&plan, (&bytes, raw), None, |rows| rows.for_each(|_, row| read(row))).unwrap();
        let restored = restored.unwrap();
        prop_assert_eq!(restored.footprint().encoded, state.footprint().encoded);
        prop_assert_eq!(restored, state);
    }

    #[test]
    fn patterns_read_back(rows in any_rows(any_pattern())) {
        round_trip(StateKind::Patterns, &rows);
    }

    #[test]
    fn aggregations_read_back(rows in any_rows(any_accumulators().prop_map(AggregationState::new))) {
        round_trip(StateKind::Aggregations, &rows);
    }

    #[test]
    fn plain_values_read_back(
        short in any_rows(prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| PlainValue::new(&bytes))),
        equal in any_rows((any::<u64>(), any::<u32>()).prop_map(|(a, b)| {
            PlainValue::new(&[&a.to_le_bytes()[..], &b.to_le_bytes()].concat())
        })),
    ) {
        round_trip(StateKind::Values, &short);
        round_trip(StateKind::Values, &equal);
    }

    #[test]
    fn any_bytes_are_an_error_at_most(plan in prop::collection::vec(any::<u8>(), 0..80), cells in prop::collection::vec(0_u8..4, 0..40)) {
        if let Ok(plan) = Plan::read(&mut Cursor::new(&plan), plan.len() as u64) {
            let _ = read_section(&plan, (&cells, 100), None, |_| Ok(()));
        }
    }
}
