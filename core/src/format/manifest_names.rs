//! How sections of a manifest are named elsewhere: in its bytes, in a page, in the manifest after it.

use alloc::vec::Vec;

use super::manifest::Manifest;
use super::manifest_parts::{Base, Delta, ObjectId};
use super::section::SectionRef;

/// Objects, plans and pages of a manifest, numbered anew in the order in which they are first mentioned; what nothing
/// mentions is left out.
pub(crate) struct Names<'a> {
    pub(crate) objects: ObjectTable<'a>,
    pub(crate) plans: SectionTable<'a>,
    pub(crate) base_pages: SectionTable<'a>,
    pub(crate) pages: SectionTable<'a>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(of: &'a Manifest) -> Self {
        Names {
            objects: ObjectTable::new(&of.objects),
            plans: SectionTable::new(&of.plans),
            base_pages: SectionTable::new(&of.base_pages),
            pages: SectionTable::new(&of.pages),
        }
    }

    /// The reference to a section.
    pub(crate) fn section(&mut self, section: &SectionRef) -> SectionRef {
        SectionRef { object: self.objects.take(section.object), ..section.clone() }
    }

    /// A base with its plan; the page that names it is not among what is mentioned.
    pub(crate) fn base(&mut self, base: &Base) -> Base {
        let section = base.section.as_ref().map(|section| self.section(section));
        let plan = base.plan.map(|plan| self.plans.take(plan, &mut self.objects));
        Base { section, plan, ..base.clone() }
    }

    pub(crate) fn delta(&mut self, delta: &Delta) -> Delta {
        Delta { section: self.section(&delta.section), ..delta.clone() }
    }

    /// Numbers the pages that name these bases by their age, which says what counts of them.
    pub(crate) fn keep_base_pages(&mut self, bases: &[&Base]) {
        let mut pages: Vec<u32> = bases.iter().filter_map(|base| base.page).collect();
        pages.sort_unstable();
        pages.dedup();
        for page in pages {
            self.base_pages.take(page, &mut self.objects);
        }
    }

    /// A base, and the page that names it: one of those kept.
    pub(crate) fn paged_base(&mut self, base: &Base) -> Base {
        let page = base.page.map(|page| self.base_pages.take(page, &mut self.objects));
        Base { page, ..self.base(base) }
    }

    /// A delta, and the page that names it.
    pub(crate) fn paged_delta(&mut self, delta: &Delta) -> Delta {
        let page = delta.page.map(|page| self.pages.take(page, &mut self.objects));
        Delta { page, ..self.delta(delta) }
    }
}

/// Objects in the order of their first mention.
pub(crate) struct ObjectTable<'a> {
    of: &'a [ObjectId],
    moved: Vec<Option<u32>>,
    pub(crate) taken: Vec<ObjectId>,
}

impl<'a> ObjectTable<'a> {
    fn new(of: &'a [ObjectId]) -> Self {
        ObjectTable { of, moved: alloc::vec![None; of.len()], taken: Vec::new() }
    }

    /// Place in the new table of the object at a place of the old one.
    fn take(&mut self, object: u32) -> u32 {
        let taken = &mut self.taken;
        *self.moved[object as usize].get_or_insert_with(|| {
            taken.push(self.of[object as usize]);
            taken.len() as u32 - 1
        })
    }
}

/// Plans, or pages, in the order of their first mention.
pub(crate) struct SectionTable<'a> {
    of: &'a [SectionRef],
    moved: Vec<Option<u32>>,
    pub(crate) taken: Vec<SectionRef>,
}

impl<'a> SectionTable<'a> {
    fn new(of: &'a [SectionRef]) -> Self {
        SectionTable { of, moved: alloc::vec![None; of.len()], taken: Vec::new() }
    }

    /// Place in the new table of the section at a place of the old one.
    fn take(&mut self, place: u32, objects: &mut ObjectTable<'_>) -> u32 {
        let taken = &mut self.taken;
        *self.moved[place as usize].get_or_insert_with(|| {
            let section = &self.of[place as usize];
            taken.push(SectionRef { object: objects.take(section.object), ..section.clone() });
            taken.len() as u32 - 1
        })
    }
}
