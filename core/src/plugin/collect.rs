//! The frames of a checkpoint, taken from an instance that may hand out whatever it likes.

use alloc::format;
use alloc::vec::Vec;

use super::guest::{Guest, GuestError};
use super::supervisor::no_events;
use crate::limits::{PLUGIN_FRAME_BYTES, PLUGIN_FRAME_BYTES_COUNTED};

/// All frames of a checkpoint. Each counts as [`PLUGIN_FRAME_BYTES_COUNTED`] at least, so `bytes_max` is a bound on how
/// many there are, too.
pub(super) fn collect_frames(
    guest: &mut dyn Guest,
    epoch: u64,
    full: bool,
    bytes_max: u64,
) -> Result<Vec<Vec<u8>>, GuestError> {
    guest.checkpoint_begin(epoch, full).map_err(no_events)?;
    let (mut frames, mut bytes) = (Vec::<Vec<u8>>::new(), 0);
    while let Some(frame) = guest.checkpoint_next(PLUGIN_FRAME_BYTES).map_err(no_events)? {
        if frame.len() > PLUGIN_FRAME_BYTES as usize {
            let reason =
                format!("it hands out a frame of {} bytes; at most {PLUGIN_FRAME_BYTES} were asked for", frame.len());
            return Err(GuestError::Lost(reason));
        }
        if frames.last().is_some_and(Vec::is_empty) {
            return Err(GuestError::Lost("it hands out an empty frame that is not the last".into()));
        }
        bytes += PLUGIN_FRAME_BYTES_COUNTED.max(frame.len() as u64);
        if bytes > bytes_max {
            let reason = format!(
                "its frames take more than {bytes_max} bytes, which its state is not allowed to take; there are {}, and \
                 each counts as {PLUGIN_FRAME_BYTES_COUNTED} at least",
                frames.len() + 1
            );
            return Err(GuestError::Lost(reason));
        }
        frames.push(frame);
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::plugin::{GuestDescription, GuestSchema, GuestSetup};

    /// Hands out frames of these lengths over and over, so many in all.
    struct Frames {
        lengths: &'static [usize],
        count: usize,
        handed_out: usize,
    }

    impl Guest for Frames {
        fn init(&mut self, _: &str, _: u64) -> Result<GuestSetup, GuestError> {
            Ok(GuestSetup::default())
        }

        fn process(&mut self, _: &[u8]) -> Result<Vec<u8>, GuestError> {
            Ok(Vec::new())
        }

        fn on_watermark(&mut self, _: i64) -> Result<Vec<u8>, GuestError> {
            Ok(Vec::new())
        }

        fn describe(&mut self) -> Result<GuestDescription, GuestError> {
            Ok(GuestDescription::default())
        }

        fn readable(&mut self) -> Result<Vec<GuestSchema>, GuestError> {
            Ok(Vec::new())
        }

        fn checkpoint_begin(&mut self, _: u64, _: bool) -> Result<(), GuestError> {
            Ok(())
        }

        fn checkpoint_next(&mut self, _: u32) -> Result<Option<Vec<u8>>, GuestError> {
            if self.handed_out == self.count {
                return Ok(None);
            }
            self.handed_out += 1;
            Ok(Some(vec![7; self.lengths[(self.handed_out - 1) % self.lengths.len()]]))
        }

        fn checkpoint_end(&mut self, _: u64, _: bool) -> Result<(), GuestError> {
            Ok(())
        }

        fn restore(&mut self, _: &[u8]) -> Result<(), GuestError> {
            Ok(())
        }

        fn restore_end(&mut self) -> Result<(), GuestError> {
            Ok(())
        }
    }

    /// What becomes of it, and how many frames were asked for.
    fn collected(lengths: &'static [usize], count: usize) -> (Result<usize, GuestError>, usize) {
        let mut guest = Frames { lengths, count, handed_out: 0 };
        let collected = collect_frames(&mut guest, 1, true, 1 << 20);
        (collected.map(|frames| frames.len()), guest.handed_out)
    }

    #[test]
    fn short_frames_come_to_an_end() {
        for lengths in [&[1][..], &[1024], &[0, 1], &[1, 0]] {
            let (outcome, asked) = collected(lengths, usize::MAX);
            assert!(outcome.is_err() && asked <= 1025, "{lengths:?}: {outcome:?} after {asked}");
        }
        let (outcome, asked) = collected(&[0], usize::MAX);
        assert_eq!(outcome.unwrap_err().to_string(), "it hands out an empty frame that is not the last");
        assert_eq!(asked, 2);
        let reason = collected(&[1], usize::MAX).0.unwrap_err().to_string();
        assert!(reason.ends_with("there are 1025, and each counts as 1024 at least"), "{reason}");
        // As many as there may be, and the one that is empty.
        assert_eq!(collected(&[1], 1024), (Ok(1024), 1024));
        assert_eq!(collected(&[7, 0], 2), (Ok(2), 2));
        assert_eq!(collected(&[0], 1), (Ok(1), 1));
        assert_eq!(collected(&[PLUGIN_FRAME_BYTES as usize], 4), (Ok(4), 4));
        assert!(collected(&[PLUGIN_FRAME_BYTES as usize], 5).0.is_err());
    }
}
