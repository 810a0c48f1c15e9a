//! The engine on flights, one thread: events per second.
fn main() {}
