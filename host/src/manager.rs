//! Checkpoints of a [`StateHolder`] in a storage, for programs that embed the state without the
//! engine.

use std::num::NonZero;
use std::thread;

use eventflux_core::{
    Backend, Capture, CatalogEntry, CheckpointRequest, Compression, EncodedCheckpoint, Engine, Executor, FindHead,
    Head, Manifest, ObjectId, OpenWriter, Progress, Prune, Publish, Published, ReadHead, ReadManifest, Republish,
    Restore, RestoreOptions, RestoredCheckpoint, Retention, Selector, StateHolder, Task, Verify, VerifyReport, Writer,
    drive,
};
use tracing::field::Empty;

use crate::beside::read_beside_writer;
use crate::clock::now_ms;
use crate::error::{Error, Result};
use crate::observe::recorder::{self, Stopwatch};
use crate::observe::{self, CheckpointWatch, PhaseBackend};
use crate::threads::run_tasks;

/// How checkpoints are written and kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ManagerConfig {
    /// Compression of new checkpoints.
    pub compression: Compression,
    /// Which checkpoints stay.
    pub retention: Retention,
}

/// The one writer of a storage, which is for one holder. Reading needs none: see [`read_head`] and [`restore`].
///
/// Open it once, then take checkpoints, one at a time, and restore as need be. Here all of it is
/// done on the calling thread; to let another thread encode and write, call the holder's
/// [`begin`](StateHolder::begin), [`step`](StateHolder::step) and
/// [`take_capture`](StateHolder::take_capture), then [`publish`](Self::publish) there, and tell the
/// holder how it went: [`commit`](StateHolder::commit) or [`abort`](StateHolder::abort).
///
/// ```
/// use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend, StateHolder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default())?;
/// let mut orders = StateHolder::builder("orders").build()?;
/// orders.set("eu", &3_u32)?;
/// let first = manager.checkpoint(&mut orders, Some("before the sale"))?;
/// orders.set("eu", &4_u32)?;
/// manager.checkpoint(&mut orders, None)?;
///
/// manager.restore(&mut orders, first.object.id)?;
/// assert_eq!(orders.get::<u32>("eu")?, Some(3));
/// assert_eq!(manager.list().len(), 2);
/// # Ok(())
/// # }
/// ```
///
/// A storage of your own is a [`Backend`]; the types that it needs are in [`eventflux_core`], which this crate exports:
///
/// ```
/// use std::collections::BTreeMap;
///
/// use eventflux::eventflux_core::{ByteRange, ObjectInfo, Result};
/// use eventflux::{Backend, CheckpointManager, ManagerConfig};
///
/// #[derive(Default)]
/// struct Mine {
///     objects: BTreeMap<String, Vec<u8>>,
///     head: Option<Vec<u8>>,
/// }
///
/// impl Backend for Mine {
///     fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
///         self.objects.insert(object.into(), bytes.into());
///         Ok(())
///     }
///     fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
///         Ok(self.objects.get(object).map(|bytes| {
///             let (offset, len) = range.within(bytes.len() as u64);
///             bytes[offset as usize..][..len as usize].to_vec()
///         }))
///     }
///     fn list(&mut self) -> Result<Vec<ObjectInfo>> {
///         let objects = self.objects.iter();
///         Ok(objects.map(|(name, bytes)| ObjectInfo { name: name.clone(), len: bytes.len() as u64 }).collect())
///     }
///     fn delete(&mut self, object: &str) -> Result<()> {
///         self.objects.remove(object);
///         Ok(())
///     }
///     fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
///         Ok(self.head.clone())
///     }
///     fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
///         let swap = self.head.as_deref() == expected;
///         if swap {
///             self.head = Some(new.into());
///         }
///         Ok(swap)
///     }
/// }
///
/// let manager = CheckpointManager::open(Mine::default(), ManagerConfig::default())?;
/// assert!(manager.latest().is_none());
/// # Ok::<(), eventflux::Error>(())
/// ```
#[derive(Debug)]
pub struct CheckpointManager<B> {
    backend: B,
    writer: Writer,
    config: ManagerConfig,
}

impl<B: Backend> CheckpointManager<B> {
    /// Opens a storage for writing: takes a new generation, which fences off every writer before.
    ///
    /// # Errors
    /// Those of the storage; damage of its head.
    pub fn open(mut backend: B, config: ManagerConfig) -> Result<Self> {
        let span = tracing::info_span!(target: observe::TARGET, "open", generation = Empty);
        let writer = span.in_scope(|| drive(OpenWriter::new(), &mut backend))?;
        span.record("generation", writer.head().generation);
        Ok(CheckpointManager { backend, writer, config })
    }

    /// Lets a holder of another name take checkpoints beside those that are there, which stay until retention has counted
    /// them out. Without this it is refused ([`OtherHolder`](eventflux_core::Error::OtherHolder)): most likely the storage
    /// is another program's.
    pub fn start_anew(&mut self) {
        self.writer.start_anew();
    }

    /// Takes a checkpoint of all of a holder, on this thread, until it is durable and published.
    ///
    /// # Errors
    /// Those of the storage, [`Fenced`](eventflux_core::Error::Fenced) among them. Then the holder
    /// is as before, all that was dirty is so still, and the checkpoint before is the newest, unless
    /// [`Publish`](eventflux_core::Publish) says otherwise.
    pub fn checkpoint(&mut self, holder: &mut StateHolder, label: Option<&str>) -> Result<CatalogEntry> {
        let request =
            CheckpointRequest { created_ms: now_ms(), label: label.map(Into::into), ..CheckpointRequest::default() };
        self.checkpoint_with(holder, request)
    }

    /// As [`CheckpointManager::checkpoint`], with positions of sources and outputs to record.
    ///
    /// # Errors
    /// As [`CheckpointManager::checkpoint`].
    pub fn checkpoint_with(&mut self, holder: &mut StateHolder, request: CheckpointRequest) -> Result<CatalogEntry> {
        let mut watch = CheckpointWatch::begin(holder.id());
        watch.cut(|| holder.begin(request))?;
        self.complete(holder, watch)
    }

    /// Captures, publishes and ends the checkpoint that a holder has begun.
    fn complete(&mut self, holder: &mut StateHolder, mut watch: CheckpointWatch) -> Result<CatalogEntry> {
        let captured = watch.capture(|| holder.take_capture());
        watch.captured();
        let outcome = captured.map_err(Into::into).and_then(|capture| {
            let span = watch.span().clone();
            span.in_scope(|| self.publish_on(&Threads::of_machine(), capture))
        });
        match outcome {
            Ok((encoded, published)) => {
                holder.commit(&encoded)?;
                watch.published(&published.entry);
                recorder::state_sizes(holder);
                Ok(published.entry)
            }
            Err(error) => {
                holder.abort()?;
                Err(error)
            }
        }
    }

    /// Takes a checkpoint of an engine, with positions in its sources and lengths of its outputs, all else of `progress`
    /// being the engine's own. Take all results out before.
    ///
    /// # Errors
    /// As [`CheckpointManager::checkpoint`]; [`CallOrder`](eventflux_core::Error::CallOrder) if
    /// results are waiting.
    ///
    /// ```
    /// use eventflux::definition::{ApplicationDefinition, OperatorDefinition, SourceDefinition, WindowKind};
    /// use eventflux::{CheckpointManager, Engine, Event, ManagerConfig, MemoryBackend, Progress, Selector};
    /// # fn main() -> eventflux::Result<()> {
    /// let definition = ApplicationDefinition::new("demo", SourceDefinition::file("-").timestamp("at")).operator(
    ///     OperatorDefinition::window("second", WindowKind::Tumbling { size_ms: 1000 }).compute("n", "count")?,
    /// );
    /// let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default())?;
    /// let mut engine = Engine::new(&definition, &["at"])?;
    /// engine.handle_event(Event::new(10, vec![10.into()]))?;
    /// let progress = Progress { positions: vec![("input".into(), 1)], ..Progress::default() };
    /// manager.checkpoint_engine(&mut engine, None, progress)?;
    ///
    /// let mut engine = Engine::new(&definition, &["at"])?; // another day
    /// let restored = manager.restore_engine(&mut engine, Selector::Latest)?;
    /// assert_eq!(restored.manifest.progress.positions, [("input".into(), 1)]);
    /// engine.finish()?;
    /// assert!(engine.poll_output().is_some_and(|result| result.window() == Some((0, 1000))));
    /// # Ok(())
    /// # }
    /// ```
    pub fn checkpoint_engine(
        &mut self,
        engine: &mut Engine,
        label: Option<&str>,
        progress: Progress,
    ) -> Result<CatalogEntry> {
        let request = CheckpointRequest { created_ms: now_ms(), label: label.map(Into::into), progress };
        let mut watch = CheckpointWatch::begin(engine.holder().id());
        watch.cut(|| engine.begin_checkpoint(request))?;
        self.complete(engine.holder_mut(), watch)
    }

    /// Restores a checkpoint of an engine, which goes on from there.
    ///
    /// # Errors
    /// As [`CheckpointManager::restore_selected`].
    pub fn restore_engine(&mut self, engine: &mut Engine, selector: Selector) -> Result<RestoredCheckpoint> {
        let restored = self.restore_selected(engine.holder_mut(), selector, RestoreOptions::default())?;
        engine.resume(&restored.manifest)?;
        Ok(restored)
    }

    /// Encodes and publishes what a holder captured; the holder's `commit` or `abort` is the
    /// caller's. May run on another thread than the holder.
    ///
    /// # Errors
    /// As [`CheckpointManager::checkpoint`].
    pub fn publish(&mut self, capture: Capture) -> Result<(EncodedCheckpoint, Published)> {
        self.publish_on(&Threads(1), capture)
    }

    fn publish_on(&mut self, executor: &dyn Executor, capture: Capture) -> Result<(EncodedCheckpoint, Published)> {
        let holder = String::from(capture.holder());
        let (object, compression) = (self.writer.next_object(), self.config.compression);
        let encoded = observe::encode(&holder, || capture.into_object_on(executor, object, compression))
            .inspect_err(|error| recorder::checkpoint_failed(&holder, error))?;
        self.publish_encoded(encoded)
    }

    fn publish_encoded(&mut self, mut encoded: EncodedCheckpoint) -> Result<(EncodedCheckpoint, Published)> {
        let holder = encoded.manifest().holder.clone();
        let published = Publish::new(&mut self.writer, &mut encoded, self.config.retention)
            .and_then(|publish| drive(publish, &mut PhaseBackend::new(&mut self.backend, &holder)))
            .inspect_err(|error| recorder::checkpoint_failed(&holder, error))?;
        recorder::checkpoint_published(&encoded, &published);
        if self.writer.head().latest == Some(published.entry.object.id) {
            recorder::builds_on(&holder, published.entry.created_ms);
        }
        Ok((encoded, published))
    }

    /// That another writer has taken over, if it has.
    pub(crate) fn fenced(&mut self, holder: &str) -> Option<Error> {
        let held = self.generation();
        let head = drive(ReadHead::new(), &mut self.backend).ok()??;
        let error = eventflux_core::Error::Fenced { held, current: head.generation };
        (head.generation != held).then(|| {
            recorder::checkpoint_failed(holder, &error);
            error.into()
        })
    }

    /// Labels the state of a checkpoint, so that it is kept: a new checkpoint that holds the same,
    /// as of the same time. The newest checkpoint stays the newest, unless it is the one labelled.
    ///
    /// # Errors
    /// [`NoSuchCheckpoint`](eventflux_core::Error::NoSuchCheckpoint), those of the storage.
    pub fn savepoint(&mut self, selector: &Selector, label: &str) -> Result<CatalogEntry> {
        let object = selector.find(self.writer.head())?;
        let manifest = drive(ReadManifest::new(object), &mut self.backend)?;
        let encoded = Republish::encode(&manifest, self.writer.next_object(), label)?;
        Ok(self.publish_encoded(encoded)?.1.entry)
    }

    /// Restores a checkpoint by its number.
    ///
    /// # Errors
    /// As [`CheckpointManager::restore_selected`].
    pub fn restore(&mut self, holder: &mut StateHolder, id: u64) -> Result<RestoredCheckpoint> {
        self.restore_selected(holder, Selector::Id(id), RestoreOptions::default())
    }

    /// Restores the newest checkpoint.
    ///
    /// # Errors
    /// As [`CheckpointManager::restore_selected`].
    pub fn restore_latest(&mut self, holder: &mut StateHolder) -> Result<RestoredCheckpoint> {
        self.restore_selected(holder, Selector::Latest, RestoreOptions::default())
    }

    /// Restores the newest checkpoint created at or before a time, milliseconds since 1970.
    ///
    /// # Errors
    /// As [`CheckpointManager::restore_selected`].
    pub fn restore_at(&mut self, holder: &mut StateHolder, time_ms: i64) -> Result<RestoredCheckpoint> {
        self.restore_selected(holder, Selector::Time(time_ms), RestoreOptions::default())
    }

    /// Restores a checkpoint. The next one taken builds on it: going back starts a branch. Until
    /// then it is kept, whatever retention says.
    ///
    /// # Errors
    /// No such checkpoint, states that do not fit;
    /// [`CheckpointDamaged`](crate::Error::CheckpointDamaged), which names the newest checkpoint that is whole: to go
    /// back to it is the caller's choice. The holder is unchanged then.
    pub fn restore_selected(
        &mut self,
        holder: &mut StateHolder,
        selector: Selector,
        options: RestoreOptions<'_>,
    ) -> Result<RestoredCheckpoint> {
        let restored = restore(&mut self.backend, holder, selector, options)?;
        self.writer.hold(restored.manifest.object.id);
        recorder::builds_on(holder.id(), restored.manifest.created_ms);
        recorder::state_sizes(holder);
        Ok(restored)
    }

    /// The published checkpoints, oldest first.
    #[must_use]
    pub fn list(&self) -> &[CatalogEntry] {
        &self.writer.head().entries
    }

    /// The newest published checkpoint.
    #[must_use]
    pub fn latest(&self) -> Option<&CatalogEntry> {
        let head = self.writer.head();
        head.entry(head.latest?)
    }

    /// Applies retention, and deletes whatever no checkpoint needs. Names of the deleted objects.
    ///
    /// # Errors
    /// Those of the storage; what is left is deleted by the next call.
    pub fn prune(&mut self, retention: Retention) -> Result<Vec<String>> {
        self.prune_and_delete(retention, &[])
    }

    /// As [`CheckpointManager::prune`], and deletes these checkpoints too, which is the only way for a savepoint to go.
    ///
    /// # Errors
    /// [`NoSuchCheckpoint`](eventflux_core::Error::NoSuchCheckpoint); [`CallOrder`](eventflux_core::Error::CallOrder) for
    /// the newest, and for one that a state goes on from, which it was restored from or has taken last; those of the storage.
    pub fn prune_and_delete(&mut self, retention: Retention, checkpoints: &[Selector]) -> Result<Vec<String>> {
        let max_retained = retention.max_retained;
        let span = tracing::info_span!(target: observe::TARGET, "prune", max_retained, deleted = Empty);
        let deleted = span.in_scope(|| {
            let prune = Prune::and_delete(&mut self.writer, retention, checkpoints)?;
            drive(prune, &mut self.backend)
        })?;
        span.record("deleted", deleted.len());
        Ok(deleted)
    }

    /// The storage.
    pub fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Generation of this writer.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.writer.head().generation
    }
}

/// The head of a storage; an empty one if it was never written to.
///
/// # Errors
/// Those of the storage; damage; [`ObjectMissing`](eventflux_core::Error::ObjectMissing) if there
/// are checkpoints, so that the head was lost.
pub fn read_head(backend: &mut (impl Backend + ?Sized)) -> Result<Head> {
    Ok(drive(FindHead::new(), backend)?)
}

/// The manifest of a checkpoint.
///
/// # Errors
/// Those of the storage; damage.
pub fn read_manifest(backend: &mut (impl Backend + ?Sized), object: ObjectId) -> Result<Manifest> {
    Ok(drive(ReadManifest::new(object), backend)?)
}

/// Restores a checkpoint into a holder; needs no writer.
///
/// # Errors
/// As [`CheckpointManager::restore_selected`].
pub fn restore(
    backend: &mut (impl Backend + ?Sized),
    holder: &mut StateHolder,
    selector: Selector,
    options: RestoreOptions<'_>,
) -> Result<RestoredCheckpoint> {
    let application = String::from(holder.id());
    let span = tracing::info_span!(
        target: observe::TARGET, "restore", application, id = Empty, raw_bytes = Empty, objects = Empty,
    );
    let stopwatch = Stopwatch::start();
    let threads = Threads::of_machine();
    let restored = span.in_scope(|| {
        let restored = read_beside_writer(backend, |backend, head| {
            let object = selector.find(head)?;
            let restore = Restore::object(holder, object, options).with_executor(&threads);
            Ok(drive(restore, backend)?)
        });
        restored.map_err(|error| with_newest_whole(error, backend))
    })?;
    stopwatch.stop_restore(&application);
    let manifest = &restored.manifest;
    span.record("id", manifest.object.id);
    span.record("raw_bytes", manifest.sizes.restore_raw);
    span.record("objects", manifest.needed_objects().len());
    Ok(restored)
}

/// Of damage, which checkpoint is whole: all of them are read to find out. A damaged head has none, and where not all
/// can be read nothing is said of them.
pub(crate) fn with_newest_whole(error: impl Into<Error>, backend: &mut (impl Backend + ?Sized)) -> Error {
    let error = match error.into() {
        Error::Core(error) if error.is_damage() => error,
        error => return error,
    };
    match verify(backend) {
        Ok(report) if report.newest_whole.is_some() || report.findings.iter().all(|found| found.error.is_damage()) => {
            Error::CheckpointDamaged { error, newest_whole: report.newest_whole }
        }
        _ => error.into(),
    }
}

/// A thread for each task; so many tasks are asked for at a time.
struct Threads(usize);

impl Threads {
    /// As many as the machine has cores.
    fn of_machine() -> Self {
        Threads(thread::available_parallelism().map_or(1, NonZero::get))
    }
}

impl Executor for Threads {
    fn parallelism(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: Vec<Task<'_>>) {
        run_tasks(tasks);
    }
}

/// Reads and checks everything the published checkpoints need.
///
/// # Errors
/// Those of the storage where it reads the head or lists its objects; damage of the head. Other damage, and what else could
/// not be read, is in the report.
pub fn verify(backend: &mut (impl Backend + ?Sized)) -> Result<VerifyReport> {
    Ok(drive(Verify::new(), backend)?)
}
