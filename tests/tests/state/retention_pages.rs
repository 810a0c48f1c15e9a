//! A page names deltas of older checkpoints, and may be all that is left of its object: retention
//! must keep that object.

use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend, Retention, StateHolder, verify};

#[test]
fn retention_keeps_objects_that_only_a_page_needs() {
    let config = ManagerConfig { retention: Retention { max_retained: 1 }, ..ManagerConfig::default() };
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config).unwrap();
    let mut holder = StateHolder::builder("orders").build().unwrap();
    for key in 0..2000_u32 {
        holder.set(format!("key {key}"), &vec![key; 50]).unwrap();
    }
    let mut random = 1_u64;
    for step in 0..200_u32 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Mostly a few hot keys; now and then any.
        let key = (random >> 33) % if step % 7 == 0 { 2000 } else { 3 };
        holder.set(format!("key {key}"), &vec![step; 1 + (random % 60) as usize]).unwrap();
        manager.checkpoint(&mut holder, None).unwrap();
        let report = verify(manager.backend_mut()).unwrap();
        assert!(report.findings.is_empty(), "after checkpoint {step}: {:?}", report.findings);
    }
}
