//! Filling states from sections: all of them by one, or key groups divided among several.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::format::columns::{self, ColumnGroup, ColumnRow, Plan};
use crate::format::manifest::{Base, Delta, Manifest, StateDescriptor, StateKind};
use crate::format::rows::{Form, Row, read_rows};
use crate::format::section::{SectionRef, read_section};
use crate::format::{Cursor, Malformed, key_group, key_hash};
use crate::limits::KEY_BYTES_MAX;
use crate::state::{AggregationState, PatternState, StateMap, WindowState};
use crate::tracked::sealed::Sealed;

/// What a checkpoint or a restore ends with whose executor did not run all tasks.
pub(super) const TASKS_UNDONE: Error =
    Error::CallOrder("the executor has left tasks undone; `run` must run all that it is given");

/// A section that a restore reads.
pub(super) struct Wanted<'a> {
    pub(super) state: u16,
    /// Key groups it covers.
    groups: Range<u16>,
    /// Checkpoint of a delta; `None` is a base.
    delta: Option<u64>,
    pub(super) section: &'a SectionRef,
    /// Place of its plan in the manifest, if it shares one.
    pub(super) plan: Option<u32>,
}

impl<'a> Wanted<'a> {
    /// The section of a number: bases, then deltas. `None` is a base without rows.
    pub(super) fn of(manifest: &'a Manifest, number: usize) -> Option<Self> {
        let bases = &manifest.bases;
        Some(match bases.get(number) {
            Some(base) => {
                let section = base.section.as_ref()?;
                Wanted { state: base.state, groups: base.low..base.high, delta: None, section, plan: base.plan }
            }
            None => {
                let Delta { state, low, high, checkpoint, section, .. } = manifest.deltas.get(number - bases.len())?;
                Wanted { state: *state, groups: *low..*high, delta: Some(*checkpoint), section, plan: None }
            }
        })
    }
}

/// A manifest with what is needed to read its sections.
pub(super) struct Reading {
    pub(super) manifest: Manifest,
    /// Place in the holder of each state of the manifest; `None` drops it.
    pub(super) places: Vec<Option<usize>>,
    /// Plans that were read, by their places in the manifest.
    pub(super) plans: Vec<Option<Plan>>,
}

impl Reading {
    /// Takes a plan.
    pub(super) fn take_plan(&mut self, place: u32, stored: &[u8]) -> Result<()> {
        let Some(section) = self.manifest.plans.get(place as usize) else { return Ok(()) };
        let plan = read_section(section, stored).and_then(|unpacked| read_plan(section, &unpacked));
        let object = self.manifest.objects[section.object as usize].name();
        let plan = plan.map_err(|malformed| malformed.at(&object, "plan"))?;
        self.plans[place as usize] = Some(plan);
        Ok(())
    }

    /// The section of a plan that was not read yet.
    pub(super) fn unread_plan(&self, plan: Option<u32>) -> Option<(u32, &SectionRef)> {
        let plan = plan.filter(|plan| self.plans[*plan as usize].is_none())?;
        Some((plan, self.manifest.plans.get(plan as usize)?))
    }
}

/// States being filled, with the key groups of each that are filled here.
pub(super) struct Shard {
    pub(super) maps: Vec<StateMap>,
    groups: Vec<Range<u16>>,
}

impl Shard {
    /// Divides the key groups of all states among so many, by the bytes of their bases.
    pub(super) fn divide(declared: &[StateDescriptor], reading: &Reading, shards: usize) -> Vec<Shard> {
        let manifest = &reading.manifest;
        let whole = || 0..manifest.key_groups;
        let mut divided: Vec<Vec<Range<u16>>> = alloc::vec![declared.iter().map(|_| whole()).collect(); shards];
        for (state, place) in reading.places.iter().enumerate() {
            let Some(place) = *place else { continue };
            let bases = bases_of(&manifest.bases, state as u16);
            let raw = |base: &Base| base.section.as_ref().map_or(0, |section| section.raw);
            let total: u64 = bases.iter().map(raw).sum();
            let (mut sum, mut low, mut next) = (0, 0, bases.iter());
            for (shard, ranges) in divided.iter_mut().enumerate() {
                let share = total * (shard as u64 + 1) / shards as u64;
                let mut high = low;
                if shard + 1 == shards {
                    high = manifest.key_groups;
                }
                while sum < share
                    && let Some(base) = next.next()
                {
                    sum += raw(base);
                    high = high.max(base.high);
                }
                ranges[place] = low..high;
                low = high;
            }
        }
        let maps = || declared.iter().map(|state| StateMap::new(state.kind, manifest.key_groups)).collect();
        divided.into_iter().map(|groups| Shard { maps: maps(), groups }).collect()
    }

    /// Takes the rows of a section that are of its key groups.
    pub(super) fn apply(
        &mut self,
        reading: &Reading,
        number: usize,
        stored: &[u8],
        executor: Option<&dyn Executor>,
    ) -> Result<()> {
        let manifest = &reading.manifest;
        let Some(Wanted { state, groups, delta, section, plan }) = Wanted::of(manifest, number) else {
            return Ok(());
        };
        let Some(place) = reading.places[usize::from(state)] else { return Ok(()) };
        let own = &self.groups[place];
        if groups.start >= own.end || own.start >= groups.end {
            return Ok(());
        }
        let object = manifest.objects[section.object as usize].name();
        let descriptor = &manifest.states[usize::from(state)];
        let damaged = |malformed: Malformed| {
            let kind = if delta.is_some() { Part::Delta } else { Part::Base };
            malformed.at(&object, part_name(descriptor, kind, groups.clone()))
        };
        let unpacked = read_section(section, stored).map_err(damaged)?;
        let plan = plan.and_then(|plan| reading.plans[plan as usize].as_ref());
        let filter = RowFilter { groups: groups.clone(), own, delta, bases: bases_of(&manifest.bases, state) };
        let map = self.maps[place].any_mut();
        read_any(section, plan, &unpacked, executor, |rows| match rows {
            AnyRows::Row(row) => match filter.is_wanted(row.group, [row.form])? {
                true => map.restore_row(row),
                false => Ok(()),
            },
            AnyRows::Columns(rows) => match filter.is_wanted(rows.group, rows.heads.iter().map(|(_, form)| form))? {
                true => map.restore_columns(rows),
                false => rows.skip(descriptor.kind),
            },
        })
        .map_err(damaged)
    }

    /// Puts the shards together.
    pub(super) fn unite(shards: Vec<Shard>) -> Vec<StateMap> {
        let mut shards = shards.into_iter();
        let mut maps = shards.next().map(|shard| shard.maps).unwrap_or_default();
        for shard in shards {
            for ((map, of_shard), groups) in maps.iter_mut().zip(shard.maps).zip(shard.groups) {
                map.absorb(of_shard, groups);
            }
        }
        maps
    }
}

/// What a part of an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// What sections of columns share.
    Plan,
    Base,
    Delta,
}

/// What a part of an object is, for people.
pub(super) fn part_name(descriptor: &StateDescriptor, part: Part, groups: Range<u16>) -> String {
    let state = match descriptor.name.as_str() {
        "" => String::from("the plain values"),
        name => format!("state `{name}`"),
    };
    let what = match part {
        Part::Plan => return format!("plan of {state} ({})", descriptor.kind.as_str()),
        Part::Base => "base",
        Part::Delta => "delta",
    };
    let (low, high) = (groups.start, groups.end.saturating_sub(1));
    let groups = if low == high { format!("key group {low}") } else { format!("key groups {low} to {high}") };
    format!("section of {state} ({}, {what} of {groups})", descriptor.kind.as_str())
}

/// Which rows of a section count.
struct RowFilter<'a> {
    groups: Range<u16>,
    /// Those that are filled here.
    own: &'a Range<u16>,
    delta: Option<u64>,
    bases: &'a [Base],
}

impl RowFilter<'_> {
    /// Whether rows of a group, of these forms, count.
    fn is_wanted(&self, group: u16, forms: impl IntoIterator<Item = Form>) -> core::result::Result<bool, Malformed> {
        let is_own = self.own.contains(&group);
        match self.delta {
            _ if !self.groups.contains(&group) => Err(outside()),
            None if forms.into_iter().all(|form| form == Form::Whole) => Ok(is_own),
            None => Err(not_whole()),
            // A newer base has this change already.
            Some(checkpoint) => {
                Ok(is_own && base_of(self.bases, group).is_none_or(|base| base.checkpoint < checkpoint))
            }
        }
    }
}

/// What a section of either form hands over at once.
pub(super) enum AnyRows<'r, 's> {
    /// One row.
    Row(Row<'r>),
    /// The rows of a key group.
    Columns(ColumnGroup<'r, 's>),
}

impl AnyRows<'_, '_> {
    /// Hands over the rows one by one. `each` has to take the payload of every row that is not removed.
    pub(super) fn for_each(
        self,
        mut each: impl FnMut(AnyRow<'_, '_>) -> core::result::Result<(), Malformed>,
    ) -> core::result::Result<(), Malformed> {
        match self {
            AnyRows::Row(row) => each(AnyRow::Row(row)),
            AnyRows::Columns(rows) => rows.for_each(|_, row| each(AnyRow::Columns(row))),
        }
    }
}

/// A row of a section of either form.
pub(super) enum AnyRow<'r, 's> {
    Row(Row<'r>),
    Columns(ColumnRow<'r, 's>),
}

impl AnyRow<'_, '_> {
    fn head(&self) -> (u16, &[u8], Form) {
        match self {
            AnyRow::Row(row) => (row.group, row.key, row.form),
            AnyRow::Columns(row) => (row.group, row.key, row.form),
        }
    }

    /// Reads all of it, and keeps nothing: a whole value is made and dropped; of a change, whose value is elsewhere,
    /// each part is read.
    pub(super) fn check(
        self,
        kind: StateKind,
        part: Part,
        groups: &Range<u16>,
        key_groups: u16,
    ) -> core::result::Result<(), Malformed> {
        let (group, key, form) = self.head();
        if !groups.contains(&group) {
            return Err(outside());
        }
        if key_group(key_hash(key), key_groups) != group {
            return Err(Malformed::new("a key is filed under another key group than its own"));
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(Malformed::new("a key is longer than any can be"));
        }
        if part == Part::Base && form != Form::Whole {
            return Err(not_whole());
        }
        match form {
            Form::Removed => Ok(()),
            Form::Whole => match kind {
                // Any bytes are a plain value, but those of columns have to be there.
                StateKind::Values => self.pass_over(kind),
                StateKind::Windows => self.read_whole::<WindowState>(),
                StateKind::Patterns => self.read_whole::<PatternState>(),
                StateKind::Aggregations => self.read_whole::<AggregationState>(),
            },
            Form::Change => self.pass_over(kind),
        }
    }

    fn read_whole<V: Sealed>(self) -> core::result::Result<(), Malformed> {
        match self {
            AnyRow::Row(row) => V::read_whole(row.payload).map(drop),
            AnyRow::Columns(mut row) => V::read_columns(&mut row).map(drop),
        }
    }

    fn pass_over(self, kind: StateKind) -> core::result::Result<(), Malformed> {
        match self {
            AnyRow::Row(row) => columns::pass_over(kind, row.payload),
            AnyRow::Columns(mut row) => row.skip(kind),
        }
    }
}

fn outside() -> Malformed {
    Malformed::new("a row of a key group the section does not cover")
}

fn not_whole() -> Malformed {
    Malformed::new("a base with a row that is not whole")
}

/// Reads a plan that stands for itself.
pub(super) fn read_plan(section: &SectionRef, unpacked: &[u8]) -> core::result::Result<Plan, Malformed> {
    if !section.codec.is_columns() {
        return Err(Malformed::new("a plan that is none"));
    }
    let mut cursor = Cursor::new(unpacked);
    let plan = Plan::read(&mut cursor, section.stored)?;
    cursor.finish()?;
    Ok(plan)
}

/// Reads the rows of an unpacked section, of either form; `executor` divides what is long in one row.
pub(super) fn read_any(
    section: &SectionRef,
    plan: Option<&Plan>,
    unpacked: &[u8],
    executor: Option<&dyn Executor>,
    mut each: impl FnMut(AnyRows<'_, '_>) -> core::result::Result<(), Malformed>,
) -> core::result::Result<(), Malformed> {
    if !section.codec.is_columns() {
        return read_rows(unpacked, |row| each(AnyRows::Row(row)));
    }
    let mut cursor = Cursor::new(unpacked);
    let own;
    let plan = match plan {
        Some(plan) => plan,
        None => {
            own = Plan::read(&mut cursor, section.stored)?;
            &own
        }
    };
    columns::read_section(plan, (cursor.rest(), section.raw), executor, |rows| each(AnyRows::Columns(rows)))
}

fn bases_of(bases: &[Base], state: u16) -> &[Base] {
    let from = bases.partition_point(|base| base.state < state);
    let to = bases.partition_point(|base| base.state <= state);
    bases.get(from..to).unwrap_or_default()
}

fn base_of(bases: &[Base], group: u16) -> Option<&Base> {
    bases.get(bases.partition_point(|base| base.high <= group))
}
