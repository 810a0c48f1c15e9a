//! Goes through moments and their images, on all cores, and counts.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::thread;

use crate::common::disk::image::{Image, images};
use crate::common::random::Random;
use crate::program::{Moment, Watcher};

/// Whether the long campaigns are asked for.
pub fn is_long() -> bool {
    std::env::var_os("EVENTFLUX_LONG").is_some()
}

/// Every image seen by any test of this file.
fn seen_by_all() -> &'static Mutex<HashSet<u64>> {
    static SEEN: OnceLock<Mutex<HashSet<u64>>> = OnceLock::new();
    SEEN.get_or_init(Mutex::default)
}

/// Counts of one campaign.
#[derive(Default)]
pub struct Explorer {
    distinct: Mutex<HashSet<u64>>,
    moments: AtomicU64,
    /// Moments of which every legal image was looked at.
    exhausted: AtomicU64,
    crashes: AtomicU64,
    checked: AtomicU64,
}

/// A check of one image; the numbers are drawn for it.
pub type Check<'c> = dyn Fn(&Image, &Watcher, &mut Random) -> Result<(), String> + Sync + 'c;

impl Explorer {
    /// Checks the images of moments, up to `bound` of each. The first that fails ends it.
    pub fn explore(&self, moments: &[Moment], bound: u64, seed: u64, check: &Check<'_>) {
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        let work = || {
            while let Some((number, moment)) =
                Some(next.fetch_add(1, Relaxed)).and_then(|at| Some((at, moments.get(at)?)))
            {
                if failure.lock().unwrap().is_some() {
                    return;
                }
                if let Err(reason) = self.explore_moment(moment, bound, seed ^ (number as u64) << 32, check) {
                    failure.lock().unwrap().get_or_insert(reason);
                }
            }
        };
        thread::scope(|scope| {
            let cores = thread::available_parallelism().map_or(1, NonZero::get);
            (1..cores.min(moments.len())).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        if let Some(reason) = failure.into_inner().unwrap() {
            panic!("{reason}");
        }
    }

    /// As [`Explorer::explore`], of one moment, on this thread.
    pub fn explore_moment(&self, moment: &Moment, bound: u64, seed: u64, check: &Check<'_>) -> Result<(), String> {
        let mut here = HashSet::new();
        let mut outcome = Ok(());
        let mut crashes = 0_u64;
        let is_all = images(&moment.volume, bound, &mut Random::new(seed), |image| {
            crashes += 1;
            let hash = image.hash();
            // What is right at one moment may be wrong at the next: only within one is once enough.
            if outcome.is_ok() && here.insert(hash) {
                outcome = check(&image, &moment.watcher, &mut Random::new(seed ^ hash))
                    .map_err(|reason| describe(&reason, moment, &image));
            }
        });
        self.moments.fetch_add(1, Relaxed);
        self.exhausted.fetch_add(is_all.into(), Relaxed);
        self.crashes.fetch_add(crashes, Relaxed);
        self.checked.fetch_add(here.len() as u64, Relaxed);
        self.distinct.lock().unwrap().extend(here);
        outcome
    }

    /// Prints the counts, past the capture of the tests' output, and gives the distinct images.
    pub fn report(&self, campaign: &str) -> usize {
        let distinct = self.distinct.lock().unwrap();
        let mut all = seen_by_all().lock().unwrap();
        all.extend(distinct.iter());
        let _ = writeln!(
            std::io::stderr(),
            "simulated disk: {campaign}: {} distinct crash images ({} crashes at {} moments, every legal image at {} of \
             them; {} recoveries checked); {} distinct in all so far",
            distinct.len(),
            self.crashes.load(Relaxed),
            self.moments.load(Relaxed),
            self.exhausted.load(Relaxed),
            self.checked.load(Relaxed),
            all.len(),
        );
        distinct.len()
    }
}

fn describe(reason: &str, moment: &Moment, image: &Image) -> String {
    let mut text = format!("the power fails after {}: {reason}\nit left:", moment.operation);
    for path in image.paths() {
        let len = image.file(path).map_or("directory".into(), |bytes| format!("{} bytes", bytes.len()));
        let _ = write!(text, "\n  {path}: {len}");
    }
    text
}
