//! Storages: their contract, writers that die or are taken over, and what is left of it all.

#[path = "../common"]
mod common {
    pub mod conformance;
    pub mod leftovers;
    pub mod random;
    pub mod recorded;
    pub mod states;
    pub mod storage;
}

mod backend_conformance;
mod crash_points;
mod fencing;
mod leftovers;
mod lost_answers;
mod other_storages;
mod unanswered;
mod wrappers;
