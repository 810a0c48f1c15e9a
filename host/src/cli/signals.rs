//! Requests to stop that whoever started the command has it ignore.

#[cfg(target_os = "linux")]
use nix::sys::signal::{SigSet, Signal};

/// Lets them stay ignored: the end of the session under `nohup`, Ctrl-C for a job in the background of a script.
///
/// The handler that is set later is one for all of them, and is not told which one came. So they are blocked, in this
/// thread and in those that it starts from now on: they then wait for ever.
#[cfg(target_os = "linux")]
pub(super) fn keep_ignored() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut blocked = SigSet::empty();
    // A file beyond the limit of the user is an error like another, once the signal does not end the process.
    blocked.add(Signal::SIGXFSZ);
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        if is_ignored(&status, signal) {
            blocked.add(signal);
        }
    }
    if let Err(error) = blocked.thread_block() {
        tracing::warn!(%error, "signals that are ignored, as under nohup, will end the run with a last checkpoint");
    }
}

/// Elsewhere it cannot be asked: a handler is set only if none of them is ignored.
#[cfg(not(target_os = "linux"))]
pub(super) fn keep_ignored() {}

/// Sets what happens at any of them that is not ignored.
pub(super) fn set_handler(handler: impl FnMut() + Send + 'static) -> Result<(), ctrlc::Error> {
    if cfg!(target_os = "linux") { ctrlc::set_handler(handler) } else { ctrlc::try_set_handler(handler) }
}

#[cfg(target_os = "linux")]
fn is_ignored(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // The first bit is that of signal 1.
    mask >> (signal as u32 - 1) & 1 == 1
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn which_are_ignored_is_read_from_the_status() {
        let ignored = |mask: &str| {
            let status = format!("Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\nSigCgt:\tffffffffffffffff\n");
            [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].map(|signal| is_ignored(&status, signal))
        };
        assert_eq!(ignored("0000000000000000"), [false; 3]);
        assert_eq!(ignored("0000000000000001"), [true, false, false]);
        assert_eq!(ignored("0000000000001006"), [false, true, false]);
        assert_eq!(ignored("fffffffe7ffbfeff"), [true; 3]);
        assert_eq!(ignored("nonsense"), [false; 3]);
    }
}
