//! The power fails after every operation of the disk, into every image that a disk may leave, or
//! calls fail, or the process dies, or another writer takes over: what is acknowledged is there.
//!
//! Which images a crash may leave is said in [`common::disk`]. What must hold of each of them:
//! - opening gives one newest checkpoint, the last one acknowledged or the one on its way, and the
//!   list is that before or after what was going on;
//! - its state, and that of every other one listed, is the model's at that cut;
//! - the next checkpoint works, and what a prune leaves is whole, and no more than needed.

#[path = "../common"]
mod common {
    pub mod disk;
    pub mod random;
}

mod crashes;
mod explorer;
mod faults;
mod lies;
mod of_the_disk;
mod program;
mod take_over;
