//! What happened to plugins, for people.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::limits::PLUGIN_NOTICES_MAX;

/// Something that happened to a plugin while the application went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginNotice {
    /// Name of the operator.
    pub operator: String,
    /// What happened.
    pub happening: Happening,
}

/// What happened to a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// An instance was lost; another one takes its place, with the state of the last checkpoint and what came since.
    Restarted {
        /// Failures since that checkpoint.
        failures: u32,
        /// Why it was lost.
        reason: String,
    },
    /// Another component goes on with the state.
    Upgraded {
        /// SHA-256 of the component that wrote it.
        from: [u8; 32],
        /// SHA-256 of the component that goes on.
        to: [u8; 32],
    },
    /// The component of the definition could not go on; that of the checkpoint does.
    WentBack {
        /// Why.
        reason: String,
    },
    /// It failed for good, and gets nothing any more; the other operators go on.
    Detached {
        /// Number of the event that it did not take, from 0.
        event: u64,
        /// Why.
        reason: String,
    },
}

impl PluginNotice {
    /// Appends it to those that wait, of which the newest stay: a program need not ask for them.
    pub(super) fn push_to(self, waiting: &mut Vec<PluginNotice>) {
        if waiting.len() >= PLUGIN_NOTICES_MAX {
            waiting.remove(0);
        }
        waiting.push(self);
    }
}

impl core::fmt::Display for PluginNotice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "operator `{}`: ", self.operator)?;
        match &self.happening {
            Happening::Restarted { failures, reason } => {
                write!(f, "its plugin was restarted ({failures} failures since its last checkpoint): {reason}")
            }
            Happening::Upgraded { from, to } => {
                write!(f, "its plugin {} goes on with the state of {}", short(to), short(from))
            }
            Happening::WentBack { reason } => {
                write!(f, "its new plugin could not take over, so the one of the checkpoint goes on: {reason}")
            }
            Happening::Detached { event, reason } => {
                write!(f, "its plugin gets no event from number {event} on: {reason}")
            }
        }
    }
}

/// The first bytes of a digest, as people tell them apart.
fn short(digest: &[u8; 32]) -> String {
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wait() {
        let mut waiting = Vec::new();
        for event in 0..PLUGIN_NOTICES_MAX as u64 + 7 {
            let happening = Happening::Detached { event, reason: String::new() };
            PluginNotice { operator: String::new(), happening }.push_to(&mut waiting);
        }
        assert_eq!(waiting.len(), PLUGIN_NOTICES_MAX);
        assert!(matches!(waiting[0].happening, Happening::Detached { event: 7, .. }));
    }
}
