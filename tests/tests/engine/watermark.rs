//! The watermark never goes back, also when a run goes on under a definition with a longer delay.

use crate::common::stream::{FIELDS, application, poll_lines, take};
use eventflux_core::{
    Compression, Engine, MemoryBackend, OpenWriter, Publish, Restore, RestoreOptions, Retention, Selector, drive,
};
use eventflux_core::{Event, Value};

const WINDOW: &str = "[[operator]]\nname = \"w\"\nwindow = { tumbling = \"1s\" }\ncompute = { n = \"count\" }";

#[test]
fn a_longer_delay_does_not_take_the_watermark_back() {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut before = Engine::new(&application(0, WINDOW), &FIELDS).unwrap();
    take(&mut before, &event(500));
    assert_eq!(take(&mut before, &event(5000)).1.len(), 1, "the first second is over");
    before.begin_checkpoint(0, None, Vec::new(), Vec::new()).unwrap();
    let capture = before.holder_mut().take_capture().unwrap();
    let mut encoded = capture.into_object(writer.next_object(), Compression::Lz4).unwrap();
    drive(Publish::new(&mut writer, &mut encoded, Retention { max_retained: 1 }).unwrap(), &mut storage).unwrap();

    let mut after = Engine::new(&application(60_000, WINDOW), &FIELDS).unwrap();
    let restore = Restore::new(after.holder_mut(), Selector::Latest, RestoreOptions::default());
    let restored = drive(restore, &mut storage).unwrap();
    after.resume(&restored.manifest).unwrap();
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

fn event(timestamp: i64) -> Event {
    Event::new(timestamp, vec![Value::Null; FIELDS.len()])
}
