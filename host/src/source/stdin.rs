//! Standard input, which nobody can read twice: whoever stops reads no further than to the end of the row that has begun,
//! and what follows stays there for the next process.

use std::io;
#[cfg(unix)]
use std::{
    fs::File,
    time::{Duration, Instant},
};

/// Time after which somebody who waits for input looks whether it is to stop.
#[cfg(unix)]
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the rest of a row is waited for that had begun when it was to stop, however it comes in.
#[cfg(unix)]
const REST_OF_ROW_WAIT: Duration = Duration::from_secs(2);

pub(super) struct StandardInput {
    /// Without a buffer of its own, where that can be had: what is not asked for stays there.
    #[cfg(unix)]
    bytes: File,
    #[cfg(not(unix))]
    bytes: io::Stdin,
    /// Whether it is to stop.
    is_stopped: Box<dyn Fn() -> bool + Send>,
    /// Until when the rest of a row is waited for, once it is to stop.
    #[cfg(unix)]
    rest_until: Option<Instant>,
}

impl StandardInput {
    pub(super) fn open() -> io::Result<Self> {
        #[cfg(unix)]
        let bytes = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?.into();
        #[cfg(not(unix))]
        let bytes = io::stdin();
        Ok(StandardInput {
            bytes,
            is_stopped: Box::new(|| false),
            #[cfg(unix)]
            rest_until: None,
        })
    }

    /// From now on asks whether it is to stop before it takes anything.
    pub(super) fn stop_when(&mut self, is_stopped: Box<dyn Fn() -> bool + Send>) {
        self.is_stopped = is_stopped;
    }

    /// Fills some of `buffer`; 0 is the end of the input, or of what is to be taken of it. `is_in_row`: whether what was
    /// read so far ends in the midst of a row.
    #[cfg(unix)]
    pub(super) fn read(&mut self, buffer: &mut [u8], is_in_row: bool) -> io::Result<usize> {
        use io::Read;
        while !(self.is_stopped)() {
            if self.is_ready(LOOK_EVERY)? {
                return self.bytes.read(buffer);
            }
        }
        let rest_until = *self.rest_until.get_or_insert_with(|| Instant::now() + REST_OF_ROW_WAIT);
        let left = rest_until.saturating_duration_since(Instant::now());
        if !is_in_row || left.is_zero() || !self.is_ready(left)? {
            return Ok(0);
        }
        // Byte by byte: behind the end of the row nothing may be taken.
        let length = buffer.len().min(1);
        self.bytes.read(&mut buffer[..length])
    }

    /// As on Unix, but that it is not known whether anything is there: it waits until something comes.
    #[cfg(not(unix))]
    pub(super) fn read(&mut self, buffer: &mut [u8], _: bool) -> io::Result<usize> {
        io::Read::read(&mut self.bytes, buffer)
    }

    /// Whether something, or the end, is there within a time.
    #[cfg(unix)]
    fn is_ready(&self, within: Duration) -> io::Result<bool> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut wanted = [PollFd::new(std::os::fd::AsFd::as_fd(&self.bytes), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
        match poll(&mut wanted, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
