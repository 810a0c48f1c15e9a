//! Checkpoints: what goes into them, how they are published, retained and restored.
//!
//! Sans-IO: a [`Procedure`] asks for one read or write at a time ([`Procedure::poll_request`]); the
//! caller does it, with files, promises or sockets, and gives the answer
//! ([`Procedure::handle_response`]), until the procedure is done.

mod archive;
mod assembly;
mod capture;
mod compaction;
mod encoding;
mod inspect;
mod names;
mod open;
mod procedure;
mod publish;
mod restore;
mod retention;
mod sections;
mod swap;
mod verify;

pub use archive::{Export, is_archive, open_archive, write_archive};
pub(crate) use capture::CapturedState;
pub use capture::{Capture, EncodedCheckpoint};
pub(crate) use compaction::{Lineage, plan_rebase};
pub use encoding::Encoding;
pub use inspect::{KeyDifference, StateContents, contents, difference};
pub use names::Names;
pub use open::{FindHead, OpenWriter, ReadHead, ReadManifest, Writer};
pub use procedure::{ByteRange, ObjectInfo, Procedure, Request, Response, Step};
pub(crate) use publish::check_label;
pub use publish::{Publish, Published, Republish};
pub use restore::{Restore, RestoredCheckpoint, Selector};
pub use retention::{Prune, Retention, drop_checkpoints, retain};
pub use verify::{Finding, Verify, VerifyReport};
