//! What checkpoints hold and give back, through the crate `eventflux`.

#[path = "../common"]
mod common {
    pub mod bulk;
    pub mod contents;
    pub mod generate;
    pub mod golden_file;
    pub mod model;
    pub mod object;
    pub mod random;
    pub mod scrape;
    pub mod states;
    pub mod storage;
    pub mod storages;
    pub mod stream;
}

mod base_pages;
mod batching;
mod call_order;
mod columns;
mod divided;
mod divided_events;
mod engine_budget;
mod golden;
mod measures;
mod metrics;
mod moved_values;
mod operators_oracle;
mod restore;
mod retention;
mod retention_pages;
mod savepoint;
mod schema;
mod set_many;
mod verify_bits;
