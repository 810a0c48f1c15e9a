use alloc::vec;

use eventflux_core::Value;
use eventflux_core::plugin::BatchWriter;

use super::*;

/// Sums up numbers; takes no other values, and nothing once it has seen 13.
#[derive(Default)]
struct Sum;

impl Operator for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn configure(&mut self, config: &mut Config) -> Result<Setup, String> {
        config.text("field")?;
        Ok(Setup::new(["number"], ["sum"]).with_watermarks())
    }

    fn check(&self, event: &Event<'_>) -> Result<(), String> {
        if matches!(event.values, [Value::Int(_)]) { Ok(()) } else { Err("not a whole number".into()) }
    }

    fn on_event(&mut self, state: &mut State, event: &Event<'_>, out: &mut Results<'_>) -> Result<(), crate::Failure> {
        let [Value::Int(number)] = event.values else { return Err("unchecked".into()) };
        if *number == 13 {
            return Err("13".into());
        }
        let sum = state.get::<i64>(event.key)?.unwrap_or(0) + number;
        state.set(event.key, &sum)?;
        out.give(0, event.key, [&Value::Int(sum)]);
        Ok(())
    }
}

fn instance() -> Instance {
    let mut instance = Instance::new(Box::new(Sum));
    instance.init("{}", 1 << 20).unwrap();
    instance
}

fn batch(values: &[Value]) -> Vec<u8> {
    let mut batch = BatchWriter::default();
    values.iter().for_each(|value| batch.event(0, b"k", [value]));
    batch.bytes().to_vec()
}

fn sum_of(instance: &Instance) -> Option<i64> {
    instance.state().unwrap().get(b"k").unwrap()
}

#[test]
fn a_bad_event_leaves_the_state_as_before_the_batch() {
    let mut instance = instance();
    instance.process(&batch(&[1.into()])).unwrap();
    let refused = instance.process(&batch(&[2.into(), "x".into()]));
    assert_eq!(refused, Err(Error::BadEvent { index: 1, reason: "not a whole number".into() }));
    assert_eq!(sum_of(&instance), Some(1));
    instance.process(&batch(&[3.into()])).unwrap();
    assert_eq!(sum_of(&instance), Some(4));
}

#[test]
fn bytes_that_are_no_batch_change_nothing() {
    let mut instance = instance();
    let mut bytes = batch(&[1.into(), 2.into()]);
    bytes.pop();
    assert!(matches!(instance.process(&bytes), Err(Error::Internal(_))));
    assert_eq!(sum_of(&instance), None);
}

#[test]
fn after_a_failure_in_the_middle_it_takes_nothing_more() {
    let mut instance = instance();
    assert_eq!(instance.process(&batch(&[1.into(), 13.into()])), Err(Error::Internal("13".into())));
    assert!(matches!(instance.process(&batch(&[1.into()])), Err(Error::Internal(_))));
    assert!(matches!(instance.checkpoint_begin(1, true), Err(Error::Internal(_))));
}

#[test]
fn the_budget_is_the_hosts() {
    let mut instance = Instance::new(Box::new(Sum));
    instance.init("{}", 20_000).unwrap();
    let mut batch = BatchWriter::default();
    (0..10_000_u32).for_each(|key| batch.event(0, &key.to_le_bytes(), [&Value::Int(1)]));
    assert!(matches!(instance.process(batch.bytes()), Err(Error::StateLimit(_))));
}

#[test]
fn calls_before_init_and_after_another_are_refused() {
    let mut instance = Instance::new(Box::new(Sum));
    assert!(matches!(instance.process(&[]), Err(Error::Internal(_))));
    assert!(matches!(instance.restore(&[]), Err(Error::Internal(_))));
    assert_eq!(instance.readable(), vec![Schema { name: "sum".into(), version: 1 }]);
    assert!(matches!(instance.init(r#"{"size": 1}"#, 1), Err(Error::BadConfig(_))));
    instance.init("{}", 1 << 20).unwrap();
    assert!(matches!(instance.init("{}", 1 << 20), Err(Error::Internal(_))));
}

#[test]
fn watermarks_go_by_an_operator_that_does_not_ask_for_them() {
    let mut instance = instance();
    assert_eq!(instance.on_watermark(i64::MAX), Ok(Vec::new()));
}
