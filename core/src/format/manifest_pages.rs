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

/// A manifest whose pages are read one at a time, so that none waits in memory for the others: of bases the newest first,
/// since a base counts where nothing newer has taken its place; then those of deltas, oldest first.
#[derive(Debug)]
pub(crate) struct Paging {
    manifest: Manifest,
    /// Places of the manifest's objects, for what pages add to them.
    places: BTreeMap<ObjectId, u32>,
    /// What the pages of deltas name; in front of the manifest's own at the end.
    deltas: Vec<Delta>,
    /// How many pages were read.
    read: usize,
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
}

impl Paging {
    pub(crate) fn new(manifest: Manifest) -> Self {
        let places = manifest.objects.iter().zip(0..).map(|(object, place)| (*object, place)).collect();
        Paging { manifest, places, deltas: Vec::new(), read: 0 }
    }

    /// The page to read next, and the object it is in.
    pub(crate) fn next(&self) -> Option<(ObjectId, &SectionRef)> {
        let Manifest { objects, base_pages, pages, .. } = &self.manifest;
        let page = base_pages.iter().rev().chain(pages).nth(self.read)?;
        Some((*objects.get(page.object as usize)?, page))
    }

    /// Takes in the raw bytes of that page.
    pub(crate) fn take(&mut self, raw: &[u8]) -> Result<(), Malformed> {
        let base_pages = self.manifest.base_pages.len();
        self.read += 1;
        match base_pages.checked_sub(self.read) {
            Some(number) => self.take_bases(number as u32, raw),
            None => self.take_deltas((self.read - 1 - base_pages) as u32, raw),
        }
    }

    /// The manifest, which has the bases and deltas of all pages.
    pub(crate) fn finish(self) -> Result<Manifest, Malformed> {
        let Paging { mut manifest, mut deltas, .. } = self;
        deltas.append(&mut manifest.deltas);
        manifest.deltas = deltas;
        manifest.check_cover()?;
        manifest.check_apart()?;
        manifest.check_order()?;
        Ok(manifest)
    }

    fn place_of(&mut self, object: ObjectId) -> u32 {
        let objects = &mut self.manifest.objects;
        *self.places.entry(object).or_insert_with(|| {
            objects.push(object);
            objects.len() as u32 - 1
        })
    }

    fn take_bases(&mut self, number: u32, raw: &[u8]) -> Result<(), Malformed> {
        let BasePage { objects, plans, mut bases } = read_all::<BasePage>(raw)?;
        check_bases(&bases, &plans, self.manifest.states.len(), self.manifest.key_groups)?;
        check_sections(bases.iter().filter_map(|base| base.section.as_ref()).chain(&plans), objects.len())?;
        bases.retain(|base| self.manifest.bases_in(base.state, base.low..base.high).next().is_none());
        if bases.is_empty() {
            return Ok(());
        }
        let mut moved: Vec<Option<u32>> = alloc::vec![None; plans.len()];
        for mut base in bases {
            if let Some(section) = &mut base.section {
                section.object = self.place_of(objects[section.object as usize]);
            }
            if let Some(plan) = &mut base.plan {
                let (section, place) = (&plans[*plan as usize], &mut moved[*plan as usize]);
                *plan = match *place {
                    Some(place) => place,
                    None => {
                        let object = self.place_of(objects[section.object as usize]);
                        self.manifest.plans.push(SectionRef { object, ..section.clone() });
                        *place.insert(self.manifest.plans.len() as u32 - 1)
                    }
                };
            }
            base.page = Some(number);
            self.manifest.bases.push(base);
        }
        // Both are sorted; this sort finds that out, and merges them.
        self.manifest.bases.sort_by_key(|base| (base.state, base.low));
        Ok(())
    }

    fn take_deltas(&mut self, number: u32, raw: &[u8]) -> Result<(), Malformed> {
        for PagedDelta { object, mut delta } in read_all::<Vec<PagedDelta>>(raw)? {
            check_groups(delta.state, delta.low..delta.high, self.manifest.states.len(), self.manifest.key_groups)?;
            delta.section.check_bounds()?;
            if self.manifest.is_needed(&delta) {
                delta.section.object = self.place_of(object);
                delta.page = Some(number);
                self.deltas.push(delta);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::manifest::tests::empty_manifest;
    use super::super::section::Codec;
    use super::*;

    const OLD: ObjectId = ObjectId { id: 3, generation: 1 };
    const NEW: ObjectId = ObjectId { id: 7, generation: 2 };

    fn section(offset: u64) -> SectionRef {
        SectionRef { codec: Codec::Columns, ..SectionRef::of_rows(0, offset, 10, 0) }
    }

    fn base(low: u16, high: u16, checkpoint: u64, plan: Option<u32>) -> Base {
        Base { state: 0, low, high, checkpoint, section: Some(section(10 * u64::from(low))), plan, page: None }
    }

    /// A page of these bases, in the order of their mention under three plans.
    fn page(bases: &[Base]) -> Vec<u8> {
        let plans = [100, 200, 300].map(section).to_vec();
        let bases = bases.iter().map(|base| Base { page: Some(0), ..base.clone() }).collect();
        Manifest { objects: alloc::vec![OLD], bases, plans, ..empty_manifest(OLD) }.base_page_bytes(0)
    }

    /// A manifest that names these bases itself, and the others by pages.
    fn read(bases: Vec<Base>, pages: &[Vec<u8>]) -> Result<Manifest, Malformed> {
        let base_pages = (0..pages.len() as u64).map(|page| section(1000 + 10 * page)).collect();
        take(Manifest { objects: alloc::vec![NEW], bases, base_pages, ..empty_manifest(NEW) }, pages)
    }

    /// Takes in pages of bases, as a reader does.
    fn take(manifest: Manifest, pages: &[Vec<u8>]) -> Result<Manifest, Malformed> {
        let mut paging = Paging::new(manifest);
        for raw in pages.iter().rev() {
            assert!(paging.next().is_some());
            paging.take(raw)?;
        }
        assert!(paging.next().is_none());
        paging.finish()
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
        let page = page(&[base(0, 1, 3, None)]);
        let pages = alloc::vec![page; 5000];
        let base_pages = (0..pages.len() as u64).map(|page| section(1000 + 10 * page)).collect();
        let objects: Vec<ObjectId> = (0..50_000).map(|id| ObjectId { id, ..NEW }).collect();
        let bases = alloc::vec![base(0, 4, 7, None)];
        let manifest = Manifest { objects: objects.clone(), bases, base_pages, ..empty_manifest(NEW) };
        let manifest = take(manifest, &pages).unwrap();
        assert_eq!((manifest.bases.len(), manifest.objects == objects), (1, true));
    }

    /// Of which a restore would read each.
    #[test]
    fn a_section_that_a_page_names_again_is_damage() {
        let delta = |offset| {
            let delta = Delta { state: 0, low: 0, high: 4, checkpoint: 5, section: section(offset), page: None };
            PagedDelta { object: OLD, delta }
        };
        let read = |offsets: [u64; 2]| {
            let mut raw = Vec::new();
            append(&mut raw, &Vec::from(offsets.map(delta)));
            let (bases, pages) = (alloc::vec![base(0, 4, 3, None)], alloc::vec![section(1000)]);
            take(Manifest { objects: alloc::vec![NEW], bases, pages, ..empty_manifest(NEW) }, &[raw])
        };
        assert_eq!(read([40, 50]).unwrap().deltas.len(), 2);
        assert!(read([40, 40]).unwrap_err().reason().contains("over one another"));
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
            assert!(error.reason().contains(reason), "{error} instead of {reason}");
        }
    }
}
