//! The watermark never goes back, also when a run goes on under a definition with another delay.

use crate::common::stream::{FIELDS, application, poll_lines, take};
use eventflux_core::{
    CheckpointRequest, Compression, Engine, MemoryBackend, OpenWriter, Publish, Restore, RestoreOptions, Retention,
    Selector, drive,
};
use eventflux_core::{Event, Value};

const WINDOW: &str = "[[operator]]\nname = \"w\"\nwindow = { tumbling = \"1s\" }\ncompute = { n = \"count\" }";

#[test]
fn a_longer_delay_does_not_take_the_watermark_back() {
    let mut before = Engine::new(&application(0, WINDOW), &FIELDS).unwrap();
    take(&mut before, &event(500));
    assert_eq!(take(&mut before, &event(5000)).1.len(), 1, "the first second is over");
    let mut after = goes_on(before, 60_000, WINDOW);
    assert_eq!(after.watermark_ms(), Some(5000));

    // The first second was given out; another event of it is late, and gives no second result.
    assert_eq!(take(&mut after, &event(600)), (false, Vec::new()));
    assert_eq!(after.progress().late, [1]);
    take(&mut after, &event(30_000));
    assert_eq!(after.watermark_ms(), Some(5000), "30 s less a minute is before that");
    assert_eq!(take(&mut after, &event(66_000)).1.len(), 1, "the second that begins at 5 s");
    assert_eq!(after.watermark_ms(), Some(6000));
    after.finish().unwrap();
    assert_eq!(poll_lines(&mut after).len(), 2);
}

#[test]
fn what_a_shorter_delay_ends_takes_no_event_more() {
    let session = "[[operator]]\nname = \"w\"\nwindow = { session = \"10ms\" }\ncompute = { n = \"count\" }";
    for operator in
        [session, "[[operator]]\nname = \"w\"\nwindow = { tumbling = \"10ms\" }\ncompute = { n = \"count\" }"]
    {
        let mut before = Engine::new(&application(100, operator), &FIELDS).unwrap();
        take(&mut before, &event(0));
        assert_eq!(take(&mut before, &event(60)).1.len(), 0, "the delay is longer");
        let mut after = goes_on(before, 0, operator);
        let (refused, lines) = take(&mut after, &event(5));
        assert!(!refused && lines.len() == 1 && lines[0].contains("\"n\":1"), "{lines:?}");
        assert_eq!(after.progress().late, [1]);
    }
}

/// Goes on from a checkpoint of an engine, with another delay.
fn goes_on(mut before: Engine, watermark_delay_ms: i64, operator: &str) -> Engine {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    before.begin_checkpoint(CheckpointRequest::default()).unwrap();
    let capture = before.holder_mut().take_capture().unwrap();
    let mut encoded = capture.into_object(writer.next_object(), Compression::Lz4).unwrap();
    drive(Publish::new(&mut writer, &mut encoded, Retention { max_retained: 1 }).unwrap(), &mut storage).unwrap();

    let mut after = Engine::new(&application(watermark_delay_ms, operator), &FIELDS).unwrap();
    let restore = Restore::new(after.holder_mut(), Selector::Latest, RestoreOptions::default());
    let restored = drive(restore, &mut storage).unwrap();
    after.resume(&restored.manifest).unwrap();
    after
}

fn event(timestamp: i64) -> Event {
    Event::new(timestamp, vec![Value::Null; FIELDS.len()])
}
