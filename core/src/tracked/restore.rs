//! Taking the rows of sections into a map that is being restored.

use alloc::vec::Vec;

use super::group::{Group, Place};
use super::key::MapKey;
use super::map::{TrackedMap, row_overhead};
use super::page::Slot;
use super::sealed::Sealed;
use crate::error::Error;
use crate::format::columns::ColumnGroup;
use crate::format::rows::{Form, Row};
use crate::format::{Malformed, key_hash};
use crate::state::Vanished;
use crate::value::Footprint;

impl<V: Sealed> TrackedMap<V> {
    /// Takes a row of a base or delta section into a map that is being restored.
    pub(crate) fn restore_row(&mut self, row: Row<'_>) -> Result<(), Malformed> {
        let Row { group, key, form, payload } = row;
        self.restore(
            (group, key, form),
            payload,
            |payload| V::read_whole(payload),
            |held, payload| held.apply_change(payload),
        )
    }

    /// As [`TrackedMap::restore_row`], from columns: the rows of a key group.
    pub(crate) fn restore_columns(&mut self, rows: ColumnGroup<'_, '_>) -> Result<(), Malformed> {
        if self.groups.get(usize::from(rows.group)).is_some_and(Group::is_new) {
            return self.fill(rows);
        }
        rows.for_each(|_, mut row| {
            let (group, key, form) = (row.group, row.key, row.form);
            self.restore((group, key, form), &mut row, |row| V::read_columns(row), |held, row| held.apply_columns(row))
        })
    }

    /// Takes the rows of a group that has had no entries: nothing has to be looked up, since keys that rise differ, and
    /// there is room for all at once. They are written page by page: where the places are all over a group, each write
    /// would be waited for.
    fn fill(&mut self, rows: ColumnGroup<'_, '_>) -> Result<(), Malformed> {
        let (group, heads) = (usize::from(rows.group), rows.heads);
        let hashes: Vec<u64> = heads.iter().map(|(key, _)| key_hash(key)).collect();
        if hashes.iter().any(|hash| self.group_of(*hash) != group) {
            return Err(misfiled());
        }
        let before = self.groups[group].memory();
        let order = self.groups[group].expect(&hashes).map_err(|error| refused(&error))?;
        let mut values = Vec::with_capacity(hashes.len());
        rows.for_each(|_, mut row| {
            values.push(match row.form {
                Form::Whole => Some(V::read_columns(&mut row)?),
                Form::Change => return Err(absent()),
                Form::Removed => None,
            });
            Ok(())
        })?;
        let held = &mut self.groups[group];
        let (mut keys, mut filled) = (0, Footprint::default());
        for at in order {
            let (hash, key) = (hashes[at as usize], heads.key(at as usize));
            let Some(value) = values[at as usize].take() else { continue };
            filled += Slot::footprint(key, &value).map_err(|error| refused(&error))?;
            held.insert_expected(hash, key, value).map_err(|error| refused(&error))?;
            keys += 1;
        }
        self.tables = self.tables + held.memory() - before;
        self.keys += keys;
        self.account(group, Footprint::default(), filled);
        Ok(())
    }

    fn restore<P>(
        &mut self,
        (row_group, key, form): (u16, &[u8], Form),
        payload: P,
        read_whole: impl FnOnce(P) -> Result<V, Malformed>,
        apply_change: impl FnOnce(&mut V, P) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let key = MapKey::new(key);
        let group = self.group_of(key.hash());
        if group != usize::from(row_group) {
            return Err(misfiled());
        }
        let place = self.groups[group].find(&key);
        match (form, place) {
            (Form::Whole, None) => {
                let value = read_whole(payload)?;
                self.add(group, &key, value).map_err(|error| refused(&error))?;
            }
            (Form::Whole, Some(place)) => {
                let value = read_whole(payload)?;
                self.restore_replace(group, place, |held| *held = value);
            }
            (Form::Change, Some(place)) => {
                let mut applied = Ok(());
                self.restore_replace(group, place, |held| {
                    applied = apply_change(held, payload);
                    held.settle();
                });
                applied?;
            }
            (Form::Change, None) => return Err(absent()),
            (Form::Removed, None) => {}
            (Form::Removed, Some((page, at))) => {
                let slot = self.release_from(group, page, |page, marks| page.swap_remove(marks, at));
                let mut before = slot.value.map_or_else(Footprint::default, |value| value.footprint());
                before.memory += slot.key.heap_bytes() as u64;
                before.encoded += row_overhead(key.bytes().len());
                self.keys -= 1;
                self.account(group, before, Footprint::default());
            }
        }
        self.vanished = Vanished::NONE;
        Ok(())
    }

    fn restore_replace(&mut self, group: usize, place: Place, replace: impl FnOnce(&mut V)) {
        let Some(value) = self.slot_mut(group, place).value.as_mut() else { return };
        let before = value.footprint();
        replace(value);
        let after = value.footprint();
        self.account(group, before, after);
    }
}

fn misfiled() -> Malformed {
    Malformed::new("a key is filed under another key group than its own")
}

fn absent() -> Malformed {
    Malformed::new("a change of a key that is not there")
}

/// Why a row cannot be taken. Not in the error's own words: those for all errors would be in every plugin.
fn refused(error: &Error) -> Malformed {
    match error {
        Error::OutOfMemory { .. } => Malformed::no_memory(),
        _ => Malformed::new("a key is longer than any can be"),
    }
}
