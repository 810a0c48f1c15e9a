//! Pages: what names bases and deltas of older checkpoints, so that not every manifest has to name them again.
//!
//! A page is a section whose raw bytes are a record. It outlives the manifest it was written with, so that it names
//! objects by their identities.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, check_bases, check_groups, check_sections};
use super::manifest_names::Names;
use super::manifest_parts::{Base, Delta, ObjectId};
use super::section::SectionRef;
use super::{Malformed, append, read_all};

/// A page of bases: tables as in a manifest, and the bases that refer to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct BasePage {
    objects: Vec<ObjectId>,
    plans: Vec<SectionRef>,
    bases: Vec<Base>,
}

/// A delta as a page of deltas names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PagedDelta {
    object: ObjectId,
    delta: Delta,
}

/// Places of a manifest's objects, for what pages add to them.
struct Places<'a> {
    objects: &'a mut Vec<ObjectId>,
    places: BTreeMap<ObjectId, u32>,
}

impl<'a> Places<'a> {
    fn new(objects: &'a mut Vec<ObjectId>) -> Self {
        let places = objects.iter().zip(0..).map(|(object, place)| (*object, place)).collect();
        Places { objects, places }
    }

    fn of(&mut self, object: ObjectId) -> u32 {
        *self.places.entry(object).or_insert_with(|| {
            self.objects.push(object);
            self.objects.len() as u32 - 1
        })
    }
}

impl Manifest {
    /// Raw bytes of the page of bases that has this number.
    pub(crate) fn base_page_bytes(&self, page: u32) -> Vec<u8> {
        let mut names = Names::new(self);
        let bases = self.bases.iter().filter(|base| base.page == Some(page));
        let bases = bases.map(|base| names.base(base)).collect();
        let mut out = Vec::new();
        append(&mut out, &BasePage { objects: names.objects.taken, plans: names.plans.taken, bases });
        out
    }

    /// Raw bytes of the page of deltas that has this number.
    pub(crate) fn page_bytes(&self, page: u32) -> Vec<u8> {
        let name = |delta: &Delta| {
            let mut delta = delta.clone();
            let object = self.objects[delta.section.object as usize];
            delta.section.object = 0;
            PagedDelta { object, delta }
        };
        let deltas = self.deltas.iter().filter(|delta| delta.page == Some(page));
        let mut out = Vec::new();
        append(&mut out, &deltas.map(name).collect::<Vec<_>>());
        out
    }

    /// The page of a number: those of bases, then those of deltas.
    pub(crate) fn page(&self, number: usize) -> Option<&SectionRef> {
        self.base_pages.iter().chain(&self.pages).nth(number)
    }

    /// Takes in the raw bytes of all pages, by their numbers: after this [`Manifest::bases`] and [`Manifest::deltas`]
    /// have all.
    pub(crate) fn take_pages(&mut self, pages: &[Vec<u8>]) -> Result<(), Malformed> {
        let (base_pages, delta_pages) = pages.split_at(self.base_pages.len().min(pages.len()));
        self.take_base_pages(base_pages)?;
        self.take_delta_pages(delta_pages)?;
        self.check_order()
    }

    fn take_base_pages(&mut self, pages: &[Vec<u8>]) -> Result<(), Malformed> {
        // Once for all pages: there may be many, of which little counts.
        let mut objects_named = core::mem::take(&mut self.objects);
        let mut places = Places::new(&mut objects_named);
        // The newest first: a base counts where nothing newer has taken its place.
        for (number, raw) in pages.iter().enumerate().rev() {
            let BasePage { objects, plans, bases } = read_all::<BasePage>(raw)?;
            check_bases(&bases, &plans, self.states.len(), self.key_groups)?;
            check_sections(bases.iter().filter_map(|base| base.section.as_ref()).chain(&plans), objects.len())?;
            let counting: Vec<Base> = bases
                .into_iter()
                .filter(|base| self.bases_in(base.state, base.low..base.high).next().is_none())
                .collect();
            if counting.is_empty() {
                continue;
            }
            let mut renamed = |section: &SectionRef| SectionRef {
                object: places.of(objects[section.object as usize]),
                ..section.clone()
            };
            let mut moved: Vec<Option<u32>> = alloc::vec![None; plans.len()];
            for mut base in counting {
                base.section = base.section.as_ref().map(&mut renamed);
                base.plan = base.plan.map(|plan| {
                    *moved[plan as usize].get_or_insert_with(|| {
                        self.plans.push(renamed(&plans[plan as usize]));
                        self.plans.len() as u32 - 1
                    })
                });
                base.page = Some(number as u32);
                self.bases.push(base);
            }
            self.bases.sort_unstable_by_key(|base| (base.state, base.low));
        }
        self.objects = objects_named;
        self.check_cover()
    }

    fn take_delta_pages(&mut self, pages: &[Vec<u8>]) -> Result<(), Malformed> {
        let mut deltas = Vec::new();
        for (number, raw) in pages.iter().enumerate() {
            for PagedDelta { object, mut delta } in read_all::<Vec<PagedDelta>>(raw)? {
                check_groups(delta.state, delta.low..delta.high, self.states.len(), self.key_groups)?;
                delta.section.check_bounds()?;
                delta.page = Some(number as u32);
                if self.is_needed(&delta) {
                    deltas.push((object, delta));
                }
            }
        }
        let mut places = Places::new(&mut self.objects);
        let numbered = deltas.into_iter().map(|(object, mut delta)| {
            delta.section.object = places.of(object);
            delta
        });
        let mut deltas: Vec<Delta> = numbered.collect();
        deltas.append(&mut self.deltas);
        self.deltas = deltas;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::manifest::tests::empty_manifest;
    use super::super::section::Codec;
    use super::*;
    use std::time::{Duration, Instant};

    const OLD: ObjectId = ObjectId { id: 3, generation: 1 };
    const NEW: ObjectId = ObjectId { id: 7, generation: 2 };

    fn section(offset: u64) -> SectionRef {
        SectionRef { codec: Codec::Columns, ..SectionRef::of_rows(0, offset, 10, 0) }
    }

    fn base(low: u16, high: u16, checkpoint: u64, plan: Option<u32>) -> Base {
        Base { state: 0, low, high, checkpoint, section: Some(section(u64::from(low))), plan, page: None }
    }

    /// A page of these bases, in the order of their mention under three plans.
    fn page(bases: &[Base]) -> Vec<u8> {
        let plans = [100, 200, 300].map(section).to_vec();
        let bases = bases.iter().map(|base| Base { page: Some(0), ..base.clone() }).collect();
        Manifest { objects: alloc::vec![OLD], bases, plans, ..empty_manifest(OLD) }.base_page_bytes(0)
    }

    /// A manifest that names these bases itself, and the others by pages.
    fn read(bases: Vec<Base>, pages: &[Vec<u8>]) -> Result<Manifest, Malformed> {
        let base_pages = pages.iter().map(|_| section(0)).collect();
        let mut manifest = Manifest { objects: alloc::vec![NEW], bases, base_pages, ..empty_manifest(NEW) };
        manifest.take_pages(pages).map(|()| manifest)
    }

    #[test]
    fn what_is_newer_takes_the_place_of_what_a_page_names() {
        let first = page(&[base(0, 1, 3, Some(0)), base(1, 2, 3, Some(1)), base(2, 4, 3, None)]);
        let second = page(&[base(0, 1, 5, Some(2))]);
        let manifest = read(alloc::vec![base(1, 2, 7, None)], &[first, second]).unwrap();
        let found: Vec<_> =
            manifest.bases.iter().map(|base| (base.low, base.high, base.checkpoint, base.page)).collect();
        assert_eq!(found, [(0, 1, 5, Some(1)), (1, 2, 7, None), (2, 4, 3, Some(0))]);
        // Only the plan of a base that counts.
        assert_eq!(manifest.plans, [SectionRef { object: 1, ..section(300) }]);
        assert_eq!(manifest.bases[0].plan, Some(0));
        assert_eq!(manifest.objects, [NEW, OLD]);
    }

    /// To number all objects again for each page takes minutes.
    #[test]
    fn many_pages_beside_many_objects() {
        let begun = Instant::now();
        let page = page(&[base(0, 1, 3, None)]);
        let pages = alloc::vec![page; 5000];
        let base_pages = pages.iter().map(|_| section(0)).collect();
        let objects: Vec<ObjectId> = (0..50_000).map(|id| ObjectId { id, ..NEW }).collect();
        let bases = alloc::vec![base(0, 4, 7, None)];
        let mut manifest = Manifest { objects: objects.clone(), bases, base_pages, ..empty_manifest(NEW) };
        manifest.take_pages(&pages).unwrap();
        assert_eq!((manifest.bases.len(), manifest.objects == objects), (1, true));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn what_a_page_names_is_checked() {
        let record = |page: BasePage| {
            let mut raw = Vec::new();
            append(&mut raw, &page);
            raw
        };
        let whole = BasePage { objects: alloc::vec![OLD], plans: Vec::new(), bases: alloc::vec![base(0, 4, 3, None)] };
        assert!(read(Vec::new(), &[record(whole.clone())]).is_ok());
        let bases = |bases: &[Base]| record(BasePage { bases: bases.to_vec(), ..whole.clone() });
        let elsewhere = SectionRef { object: 1, ..section(0) };
        let cases = [
            (bases(&[base(0, 3, 3, None)]), "cover each key group"),
            (bases(&[base(0, 3, 3, None), base(2, 4, 3, None)]), "cover each key group"),
            (bases(&[base(0, 5, 3, None)]), "not there"),
            (bases(&[base(2, 2, 3, None)]), "not there"),
            (bases(&[Base { state: 1, ..base(0, 4, 3, None) }]), "not there"),
            (bases(&[base(0, 4, 3, Some(0))]), "plan"),
            (bases(&[Base { section: Some(elsewhere), ..base(0, 4, 3, None) }]), "object"),
            (bases(&[base(0, 4, 8, None)]), "newer"),
            ([record(whole.clone()), alloc::vec![0]].concat(), "left over"),
        ];
        for (raw, reason) in cases {
            let error = read(Vec::new(), &[raw]).unwrap_err();
            assert!(error.0.contains(reason), "{error} instead of {reason}");
        }
    }
}
