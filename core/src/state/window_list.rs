//! The windows of a key, in the order of their starts: a list whose front goes without the rest being moved.
//!
//! Windows come at the end and go at the front, mostly, and there may be a day of them for each second. What went
//! leaves its place empty, until there are so many of these that it is worth to move the others.
//!
//! Invariant: no more places are empty than are taken.

use alloc::vec::Vec;
use core::mem;
use core::ops::{Deref, DerefMut};

use super::window::Window;

/// Windows that are moved without further ado.
const FEW: usize = 32;
/// One in so many places must be empty for the others to be moved to make room.
const EMPTY_SHARE: usize = 4;

#[derive(Debug)]
pub(super) struct WindowList {
    places: Vec<Window>,
    /// How many of them are empty, at the front.
    empty: usize,
}

impl WindowList {
    pub(super) const fn new() -> Self {
        WindowList { places: Vec::new(), empty: 0 }
    }

    /// Places that there is memory for.
    pub(super) fn capacity(&self) -> usize {
        self.places.capacity()
    }

    /// Places by which `more` windows make the list grow.
    pub(super) fn growth(&self, more: usize) -> usize {
        let capacity = self.capacity();
        let is_room = self.places.len() + more <= capacity || self.is_worth_moving() && self.len() + more <= capacity;
        match (is_room, capacity, more) {
            (true, ..) => 0,
            (false, 0, 1) => 1,
            // As the vector does.
            _ => (self.places.len() + more).max(2 * capacity).max(4).next_power_of_two() - capacity,
        }
    }

    pub(super) fn insert(&mut self, at: usize, window: Window) {
        if self.empty > 0 && at < self.len() / 2 {
            // Those before it move, into the empty place in front of them.
            self.empty -= 1;
            let moved = &mut self.places[self.empty..=self.empty + at];
            moved.rotate_left(1);
            moved[at] = window;
            return;
        }
        let is_full = self.places.len() == self.capacity();
        if is_full && self.capacity() == 0 {
            // Many keys have one window open, and never more.
            self.places.reserve_exact(1);
        } else if is_full && self.is_worth_moving() {
            self.close_up();
        }
        self.places.insert(self.empty + at, window);
    }

    pub(super) fn remove(&mut self, at: usize) -> Window {
        let removed = if at > 0 || self.len() <= FEW {
            self.places.remove(self.empty + at)
        } else {
            self.empty += 1;
            mem::replace(&mut self.places[self.empty - 1], Window::new(0))
        };
        if self.empty > self.len() {
            self.close_up();
        }
        removed
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Window) -> bool) {
        self.close_up();
        self.places.retain(keep);
    }

    /// Whether the others move once all places are taken.
    fn is_worth_moving(&self) -> bool {
        self.empty > self.capacity() / EMPTY_SHARE
    }

    fn close_up(&mut self) {
        self.places.drain(..self.empty);
        self.empty = 0;
    }
}

impl Clone for WindowList {
    fn clone(&self) -> Self {
        WindowList { places: self.to_vec(), empty: 0 }
    }
}

impl Deref for WindowList {
    type Target = [Window];

    fn deref(&self) -> &[Window] {
        &self.places[self.empty..]
    }
}

impl DerefMut for WindowList {
    fn deref_mut(&mut self) -> &mut [Window] {
        &mut self.places[self.empty..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Action {
        /// Behind this share of those that are there, in hundredths; so many.
        Insert(usize, usize),
        Remove(usize),
        /// Those with an even start.
        Retain,
    }

    fn action() -> impl Strategy<Value = Action> {
        let end_mostly = prop_oneof![4 => Just(100_usize), 1 => 0..=100_usize];
        let front_mostly = prop_oneof![4 => Just(0_usize), 1 => 0..=100_usize];
        prop_oneof![
            500 => (end_mostly, prop_oneof![9 => Just(1_usize), 1 => 2..9_usize]).prop_map(|(at, count)| Action::Insert(at, count)),
            700 => front_mostly.prop_map(Action::Remove),
            1 => Just(Action::Retain)
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_list(actions in proptest::collection::vec(action(), 0..1500)) {
            let (mut list, mut model) = (WindowList::new(), Vec::new());
            for (number, action) in (0_i64..).zip(actions) {
                match action {
                    Action::Insert(share, count) => {
                        let (growth, before) = (list.growth(count), list.capacity());
                        for _ in 0..count {
                            let at = model.len() * share / 100;
                            list.insert(at, Window::new(number));
                            model.insert(at, number);
                        }
                        prop_assert!(list.capacity() <= before + growth, "{} and {growth}: {}", before, list.capacity());
                    }
                    Action::Remove(_) if model.is_empty() => {}
                    Action::Remove(share) => {
                        let at = (model.len() - 1) * share / 100;
                        prop_assert_eq!(list.remove(at).start(), model.remove(at));
                    }
                    Action::Retain => {
                        list.retain(|window| window.start() % 2 == 0);
                        model.retain(|start| start % 2 == 0);
                    }
                }
                prop_assert!(list.empty <= list.len());
            }
            prop_assert!(list.iter().map(Window::start).eq(model.iter().copied()));
            prop_assert!(list.clone().iter().map(Window::start).eq(model));
        }
    }
}
