//! From captured rows to the object of a checkpoint, step by step: sorts rows, packs sections, writes the manifest.
//!
//! Invariants:
//! - however it is divided into steps, the bytes are the same;
//! - a piece of work that cannot be divided (a row, a key group that is sorted, a column that is planned) is done in one
//!   step, whatever is left of its budget.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;

use super::assembly::{Assembly, Part};
use super::capture::{BuildsOn, Capture, CapturedState, EncodedCheckpoint};
use super::compaction::{Lineage, settle_credit};
use super::sections::TASKS_UNDONE;
use crate::error::{Error, Result};
use crate::executor::{Executor, Task};
use crate::format::manifest::{Base, Delta, Manifest, ObjectId, StateDescriptor};
use crate::format::manifest_names::Names;
use crate::format::object;
use crate::format::section::Compression;
use crate::limits::{PAGE_SECTIONS_MIN, PARALLEL_ENCODE_BYTES};
use crate::pace::{Pace, Stepped, at_once};

/// A checkpoint that is being encoded, in steps: for callers that have one thread, and other things to do on it. Those
/// that have a thread for it call [`Capture::into_object`], which is the same in one step.
///
/// It needs nothing of the holder: events go on between its steps, and between them it may go to another thread.
///
/// ```
/// use eventflux_core::{CheckpointRequest, Compression, ObjectId, StateHolder};
///
/// let mut holder = StateHolder::builder("shop").build()?;
/// holder.set("orders", &3)?;
/// holder.begin(CheckpointRequest::default())?;
/// let mut encoding = holder.take_capture()?.encoding(ObjectId { id: 0, generation: 1 }, Compression::Lz4);
/// let object = loop {
///     if let Some(object) = encoding.step(64 * 1024)? {
///         break object;
///     }
///     // Here something else can be done.
/// };
/// holder.commit(&object)?;
/// # Ok::<(), eventflux_core::Error>(())
/// ```
pub struct Encoding {
    work: Option<Stepped<Result<EncodedCheckpoint>>>,
}

impl Encoding {
    pub(super) fn new(capture: Capture, object: ObjectId, compression: Compression, plain: bool) -> Self {
        let work = Stepped::new(|pace| assemble(capture, object, compression, plain, pace));
        Encoding { work: Some(work) }
    }

    /// Goes on until about `budget` bytes were gone through; the checkpoint once it is done, `None` before.
    ///
    /// Rows are gone through about five times. What is not divided takes longer: a row, or a column while it is looked
    /// at how to write it.
    ///
    /// # Errors
    /// As [`Capture::into_object`]; [`Error::CallOrder`] once it has ended.
    pub fn step(&mut self, budget: usize) -> Result<Option<EncodedCheckpoint>> {
        let work = self.work.as_mut().ok_or(Error::CallOrder("the encoding has ended; it has no steps any more"))?;
        match work.step(budget) {
            None => Ok(None),
            Some(outcome) => {
                self.work = None;
                outcome.map(Some)
            }
        }
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Encoding").field("ended", &self.work.is_none()).finish_non_exhaustive()
    }
}

/// Sections of a capture's parts, one after the other, and the manifest.
async fn assemble(
    capture: Capture,
    object: ObjectId,
    compression: Compression,
    plain: bool,
    pace: Pace,
) -> Result<EncodedCheckpoint> {
    let (parts, rest) = take_apart(capture);
    let mut assembly = Assembly::new(Vec::from(object::header(object)), object.id, compression, plain, pace);
    for part in parts {
        assembly.add(part).await?;
    }
    rest.finish(assembly, object, !plain).await
}

/// As [`assemble`], with parts that are made at the same time. The bytes are the same.
pub(super) fn assemble_on(
    executor: &dyn Executor,
    capture: Capture,
    object: ObjectId,
    compression: Compression,
) -> Result<EncodedCheckpoint> {
    let (parts, rest) = take_apart(capture);
    let start = |bytes| Assembly::new(bytes, object.id, compression, false, Pace::endless());
    let mut whole = start(Vec::from(object::header(object)));
    let bytes: Vec<u64> = parts.iter().map(Part::bytes).collect();
    let of_others = bytes.iter().sum::<u64>() - bytes.iter().max().copied().unwrap_or(0);
    if executor.parallelism() < 2 || of_others < PARALLEL_ENCODE_BYTES {
        parts.into_iter().try_for_each(|part| at_once(whole.add(part)))?;
    } else {
        let make = |part| {
            let mut assembly = start(Vec::new());
            at_once(assembly.add(part)).map(|()| assembly)
        };
        let made = run_divided(executor, parts.into_iter().zip(bytes.iter().copied()), &make);
        if made.len() != bytes.len() {
            return Err(TASKS_UNDONE);
        }
        for assembly in made {
            whole.append(assembly?);
        }
    }
    at_once(rest.finish(whole, object, true))
}

/// Parts that one task makes, each with its place among all and, once it is made, its outcome.
struct Share<T> {
    bytes: u64,
    parts: Vec<(usize, Part)>,
    outcomes: Vec<(usize, T)>,
}

/// What is made of each part, in their order; parts come with their bytes, and are shared out so that all tasks have about
/// as much to do.
fn run_divided<T: Send>(
    executor: &dyn Executor,
    parts: impl ExactSizeIterator<Item = (Part, u64)>,
    make: &(impl Fn(Part) -> T + Sync),
) -> Vec<T> {
    let mut shares = Vec::new();
    shares.resize_with(executor.parallelism().min(parts.len()), || Share {
        bytes: 0,
        parts: Vec::new(),
        outcomes: Vec::new(),
    });
    let mut parts: Vec<_> = parts.enumerate().collect();
    // The largest first, each to the share that has least.
    parts.sort_by_key(|(_, (_, bytes))| Reverse(*bytes));
    for (at, (part, bytes)) in parts {
        if let Some(share) = shares.iter_mut().min_by_key(|share| share.bytes) {
            share.bytes += bytes;
            share.parts.push((at, part));
        }
    }
    let work = |share: &mut Share<T>| {
        share.outcomes.extend(share.parts.drain(..).map(|(at, part)| (at, make(part))));
    };
    executor.run(shares.iter_mut().map(|share| -> Task<'_> { Box::new(|| work(share)) }).collect());
    let mut outcomes: Vec<(usize, T)> = shares.into_iter().flat_map(|share| share.outcomes).collect();
    outcomes.sort_by_key(|(at, _)| *at);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// What the manifest needs of a capture beside its rows.
struct Rest {
    capture: Capture,
    descriptors: Vec<StateDescriptor>,
    dirty_in_bases: u64,
    dirty_entries: u64,
}

/// The rows of a capture, in the order of their sections, and the rest of it.
fn take_apart(mut capture: Capture) -> (Vec<Part>, Rest) {
    let (mut parts, mut descriptors) = (Vec::new(), Vec::with_capacity(capture.states.len()));
    let (mut dirty_in_bases, mut dirty_entries) = (0, 0);
    for (state, CapturedState { rows, descriptor }) in core::mem::take(&mut capture.states).into_iter().enumerate() {
        dirty_in_bases += rows.dirty_in_bases;
        dirty_entries += rows.dirty_entries;
        let rebased = capture.rebase.iter().filter(|(of, _)| usize::from(*of) == state);
        let ranges = rebased.map(|(_, range)| range.clone()).collect();
        parts.push(Part::bases(state as u16, descriptor.kind, ranges, rows.bases));
        parts.push(Part::deltas(state as u16, descriptor.kind, rows.deltas));
        descriptors.push(descriptor);
    }
    (parts, Rest { capture, descriptors, dirty_in_bases, dirty_entries })
}

impl Rest {
    /// Writes the manifest behind the sections.
    async fn finish(self, mut assembly: Assembly, object: ObjectId, pages: bool) -> Result<EncodedCheckpoint> {
        let Rest { capture, descriptors, dirty_in_bases, dirty_entries } = self;
        let parent = capture.lineage.manifest().map(AsRef::as_ref);
        if parent.is_some_and(|parent| object.id <= parent.object.id) {
            // A restore would take its deltas for those of before what it builds on.
            return Err(Error::CallOrder(
                "the number of a checkpoint must be above that of the one it builds on; if the storage's next one is not, \
                 what it builds on is in another storage: go on there, copy that one, or call `forget_checkpoints`",
            ));
        }
        let builds_on = parent.map(BuildsOn::new);
        let mut sizes = assembly.sizes;
        sizes.stored = (assembly.object.len() - object::HEADER_BYTES) as u64;
        sizes.dirty = if parent.is_none() { sizes.base_raw } else { sizes.delta_raw + dirty_in_bases + capture.shrunk };
        let mut manifest = Manifest {
            object,
            parent: parent.map(|parent| parent.object.id),
            created_ms: capture.request.created_ms,
            label: capture.request.label,
            holder: capture.holder,
            key_groups: capture.key_groups,
            states: descriptors,
            progress: capture.request.progress,
            sizes,
            objects: Vec::new(),
            bases: Vec::new(),
            plans: core::mem::take(&mut assembly.plans),
            base_pages: Vec::new(),
            pages: Vec::new(),
            deltas: Vec::new(),
            credit: 0,
            reserve: 0,
        };
        merge_sections(
            &mut manifest,
            parent,
            core::mem::take(&mut assembly.bases),
            core::mem::take(&mut assembly.deltas),
        );
        if pages {
            add_pages(&mut manifest, &mut assembly).await;
        }
        manifest.sizes.restore_raw = manifest.sections().iter().map(|section| section.raw).sum();
        let base_cost = sizes.base_raw.saturating_sub(dirty_in_bases);
        (manifest.credit, manifest.reserve) = settle_credit(parent, &manifest, base_cost);
        object::append_manifest(&mut assembly.object, &manifest)?;
        let manifest = Arc::new(manifest);
        Ok(EncodedCheckpoint {
            lineage: Lineage::new(Arc::clone(&manifest)),
            manifest,
            bytes: assembly.object,
            dirty_entries,
            cut: capture.cut,
            relabels: None,
            builds_on,
        })
    }
}

/// Puts the new sections together with those of the parent that are still needed.
fn merge_sections(manifest: &mut Manifest, parent: Option<&Manifest>, mut bases: Vec<Base>, deltas: Vec<Delta>) {
    manifest.objects.push(manifest.object);
    let Some(parent) = parent else {
        manifest.bases = bases;
        manifest.deltas = deltas;
        return;
    };
    let mut names = Names::new(parent);
    // Place 0 is this checkpoint's own object, which the parent cannot name; its plans come first.
    names.objects.taken.append(&mut manifest.objects);
    names.plans.taken.append(&mut manifest.plans);
    let renewed =
        |old: &Base| bases.iter().any(|new| new.state == old.state && new.low < old.high && old.low < new.high);
    let kept: Vec<&Base> = parent.bases.iter().filter(|old| !renewed(old)).collect();
    names.keep_base_pages(&kept);
    let mut kept = kept.into_iter().map(|old| names.paged_base(old)).collect();
    bases.append(&mut kept);
    bases.sort_unstable_by_key(|base| (base.state, base.low));
    manifest.bases = bases;
    let needed = parent.deltas.iter().filter(|delta| manifest.is_needed(delta));
    let kept: Vec<Delta> = needed.map(|delta| names.paged_delta(delta)).collect();
    manifest.deltas = kept;
    manifest.deltas.extend(deltas);
    manifest.objects = names.objects.taken;
    manifest.plans = names.plans.taken;
    manifest.base_pages = names.base_pages.taken;
    manifest.pages = names.pages.taken;
}

/// Moves bases and deltas that the manifest names itself into pages, if there are many.
async fn add_pages(manifest: &mut Manifest, assembly: &mut Assembly) {
    let bases = manifest.bases.iter_mut().map(|base| &mut base.page);
    if let Some(page) = move_to_page(bases.collect(), manifest.base_pages.len()) {
        let raw = manifest.base_page_bytes(page as u32);
        manifest.base_pages.truncate(page);
        manifest.base_pages.push(assembly.append_page(&raw).await);
    }
    let deltas = manifest.deltas.iter_mut().map(|delta| &mut delta.page);
    if let Some(page) = move_to_page(deltas.collect(), manifest.pages.len()) {
        let raw = manifest.page_bytes(page as u32);
        manifest.pages.truncate(page);
        manifest.pages.push(assembly.append_page(&raw).await);
    }
}

/// Moves what the manifest names itself into a new page, and with it all of the newest pages, as long as one names no
/// more than what is newer together: so there are few pages, and nothing is moved often. `named_by` is for each section
/// the page that names it. Number of the new page, which takes the place of it and all behind; `None` if the manifest
/// names little itself.
fn move_to_page(named_by: Vec<&mut Option<u32>>, pages: usize) -> Option<usize> {
    // The last count is of those that no page names.
    let mut counts = alloc::vec![0; pages + 1];
    named_by.iter().for_each(|page| counts[page.map_or(pages, |page| page as usize)] += 1);
    let mut moved: usize = counts[pages];
    if moved < PAGE_SECTIONS_MIN {
        return None;
    }
    let mut first = pages;
    while first > 0 && counts[first - 1] <= moved {
        first -= 1;
        moved += counts[first];
    }
    let moved = named_by.into_iter().filter(|page| page.is_none_or(|page| page as usize >= first));
    moved.for_each(|page| *page = Some(first as u32));
    Some(first)
}
