//! The applied state: the keyspace in sled, with the marker that says how far it got.
//!
//! Data and marker are in one tree and are written in one batch. Nothing here is synced: what sled
//! loses in a crash is rebuilt from the newest snapshot and the log.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    io,
    ops::ControlFlow,
    os::unix::fs::PermissionsExt,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use smr_state::{Applied as Outcome, Changes, DATA_END, DATA_START, Meta, View, Visitor};

use crate::{
    Error,
    batch::{LogId, StoredMembership},
    trust::Trust,
};

const MARKER: &[u8] = b"\xff/marker";
/// Entries of storage written per batch while loading a snapshot.
const LOAD_ENTRIES: usize = 1_000;
/// Entries visited per piece while a frozen view is read.
const PIECE_ENTRIES: usize = 2_000;

/// How far the applied state got.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(crate) last_applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) revision: u64,
}

/// Why the applied state cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    #[error("sled failed")]
    Sled {
        #[from]
        source: sled::Error,
    },
    #[error("sled panicked")]
    Panicked,
    #[error("marker of the applied state is missing or does not fit the data")]
    Marker,
    #[error("stored record `{key}` is damaged")]
    Corrupt { key: String },
    #[error("the applied state is closed")]
    Closed,
}

/// One view of sled for reading.
#[derive(Debug)]
pub(crate) struct SledView<'a>(&'a sled::Tree);

impl View for SledView<'_> {
    type Error = Fault;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.get(key)?.map(|value| value.to_vec()))
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visitor<'_>) -> Result<(), Fault> {
        if start < end {
            for entry in self.0.range(start..end) {
                let (key, value) = entry?;
                if visit(&key, &value).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The numbers of the current state, for readers that need nothing else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) marker: Marker,
    pub(crate) meta: Meta,
}

struct Inner {
    /// `None` after closing, so that the files are free for the next opening.
    db: Option<sled::Db>,
    head: Head,
}

/// The applied state. One writer (the state machine), many readers.
pub(crate) struct Applied {
    dir: PathBuf,
    cache_bytes: u64,
    trust: Trust,
    /// Held while entries are applied.
    applying: Mutex<()>,
    inner: RwLock<Inner>,
    frozen: Mutex<Vec<Weak<Mutex<Images>>>>,
}

/// What changed since a view was frozen.
#[derive(Debug, Default)]
struct Images {
    /// Storage keys before this one have been read already.
    cursor: Vec<u8>,
    /// How the keys looked when the view was frozen.
    before: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// The keyspace at one moment, readable while writes go on.
pub(crate) struct Frozen {
    pub(crate) head: Head,
    applied: Arc<Applied>,
    images: Arc<Mutex<Images>>,
}

impl Applied {
    /// Opens the state in `dir`; a missing one, or one that may have lost something, is created empty.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, Fault> {
        let trust = Trust::new(dir);
        if !trust.is_deserved() {
            remove(dir).map_err(sled::Error::Io)?;
        }
        trust.begin().map_err(sled::Error::Io)?;
        let db = open_sled(dir, cache_bytes)?;
        let head = read_head(&db)?;
        Ok(Self {
            trust,
            applying: Mutex::default(),
            dir: dir.to_owned(),
            cache_bytes,
            inner: RwLock::new(Inner { db: Some(db), head }),
            frozen: Mutex::default(),
        })
    }

    /// The directory, for messages.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn head(&self) -> Head {
        self.read_lock().head.clone()
    }

    /// Reads at one consistent moment.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&SledView<'_>) -> Result<T, smr_state::Error<Fault>>,
    ) -> Result<T, Error> {
        let inner = self.read_lock();
        let Some(db) = inner.db.as_ref() else { return Err(Error::Stopped) };
        read(&SledView(db)).map_err(|error| self.error(error))
    }

    /// Keeps the state from being closed while entries are applied.
    pub(crate) fn applying(&self) -> MutexGuard<'_, ()> {
        lock(&self.applying)
    }

    /// Computes changes; only the state machine calls this, so nothing moves under it.
    pub(crate) fn compute<T>(
        &self,
        compute: impl FnOnce(&SledView<'_>) -> Result<T, smr_state::Error<Fault>>,
    ) -> Result<T, Fault> {
        let db = self.read_lock().db.clone().ok_or(Fault::Closed)?;
        compute(&SledView(&db)).map_err(fault).inspect_err(|fault| self.distrust(fault))
    }

    /// Writes the outcome of a run of commands and the marker in one batch.
    pub(crate) fn write(&self, outcome: Outcome, mut marker: Marker) -> Result<(), Fault> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let db = inner.db.clone().ok_or(Fault::Closed)?;
        self.save_images(&db, &outcome.changes)?;
        marker.revision = outcome.meta.revision;
        let mut batch = sled::Batch::default();
        for (key, change) in outcome.changes {
            match change {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch.insert(MARKER, encode(&marker));
        db.apply_batch(batch).map_err(Fault::from).inspect_err(|fault| self.distrust(fault))?;
        inner.head = Head { marker, meta: outcome.meta };
        Ok(())
    }

    /// Freezes the current moment for reading at leisure.
    pub(crate) fn freeze(self: &Arc<Self>) -> Frozen {
        let inner = self.read_lock();
        let images = Arc::new(Mutex::new(Images::default()));
        lock(&self.frozen).push(Arc::downgrade(&images));
        Frozen { head: inner.head.clone(), applied: Arc::clone(self), images }
    }

    /// Replaces everything by the entries that `next` yields, ending with `None`.
    pub(crate) fn replace<E: From<Fault>>(
        &self,
        marker: Marker,
        mut next: impl FnMut() -> Result<Option<(Vec<u8>, Vec<u8>)>, E>,
    ) -> Result<(), E> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let closed = inner.db.is_none();
        if closed {
            return Err(Fault::Closed.into());
        }
        // Views frozen before cannot go on; they notice by the changed moment.
        for images in lock(&self.frozen).drain(..).filter_map(|images| images.upgrade()) {
            lock(&images).cursor = vec![u8::MAX; 16];
        }
        inner.db = None;
        move_aside(&self.dir).map_err(|error| Fault::from(sled::Error::Io(error)))?;
        let db = open_sled(&self.dir, self.cache_bytes)?;
        loop {
            let mut batch = sled::Batch::default();
            let mut count = 0;
            while count < LOAD_ENTRIES
                && let Some((key, value)) = next()?
            {
                batch.insert(key, value);
                count += 1;
            }
            if count == 0 {
                break;
            }
            db.apply_batch(batch).map_err(Fault::from)?;
        }
        // Written last: a crash before this leaves no marker, and the next start loads again.
        db.insert(MARKER, encode(&marker)).map_err(Fault::from)?;
        db.flush().map_err(Fault::from)?;
        inner.head = read_head(&db)?;
        inner.db = Some(db);
        drop(inner);
        remove_aside(&self.dir);
        Ok(())
    }

    /// The fault to report when code on top of this panicked.
    pub(crate) fn panicked(&self) -> Fault {
        self.distrust(&Fault::Panicked);
        Fault::Panicked
    }

    /// After a fault of sled the next start builds the state anew.
    fn distrust(&self, fault: &Fault) {
        if !matches!(fault, Fault::Closed) {
            self.trust.lose();
        }
    }

    /// Closes the files; later calls answer that the store is stopped.
    pub(crate) fn close(&self) {
        let _applying = self.applying();
        let db = self.inner.write().unwrap_or_else(PoisonError::into_inner).db.take();
        let Some(db) = db else { return };
        let flushed = db.flush().map_err(io::Error::other);
        drop(db);
        if let Err(error) = flushed.and_then(|_| self.trust.end()) {
            tracing::warn!(error = %error, "cannot sync the applied state, the next start may replay more");
        }
    }

    pub(crate) fn error(&self, error: smr_state::Error<Fault>) -> Error {
        match error {
            smr_state::Error::Refused(refusal) => refusal.into(),
            other => {
                let fault = fault(other);
                self.distrust(&fault);
                Error::Storage { dir: self.dir.clone(), source: Arc::new(fault) }
            }
        }
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what frozen views still want to read.
    fn save_images(&self, db: &sled::Db, changes: &Changes) -> Result<(), Fault> {
        let mut frozen = lock(&self.frozen);
        frozen.retain(|images| images.strong_count() > 0);
        for images in frozen.iter().filter_map(Weak::upgrade) {
            let mut images = lock(&images);
            for key in changes.keys() {
                if *key >= images.cursor && !images.before.contains_key(key) {
                    let before = db.get(key)?.map(|value| value.to_vec());
                    images.before.insert(key.clone(), before);
                }
            }
        }
        Ok(())
    }
}

impl Frozen {
    /// Visits every storage entry of the keyspace in order. Writers wait for one piece at most.
    pub(crate) fn for_each<E: From<Fault>>(
        &self,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cursor = DATA_START.to_vec();
        loop {
            let piece = self.piece(&cursor)?;
            for (key, value) in &piece.entries {
                visit(key, value)?;
            }
            match piece.next {
                Some(next) => cursor = next,
                None => return Ok(()),
            }
        }
    }

    fn piece(&self, from: &[u8]) -> Result<Piece, Fault> {
        let inner = self.applied.read_lock();
        let db = inner.db.as_ref().ok_or(Fault::Closed)?;
        let mut images = lock(&self.images);
        if images.cursor.as_slice() > from {
            return Err(Fault::Closed);
        }
        let mut entries = BTreeMap::new();
        let mut last = None;
        let mut seen = 0;
        SledView(db).scan(from, DATA_END, &mut |key, value| {
            entries.insert(key.to_vec(), value.to_vec());
            seen += 1;
            if seen == PIECE_ENTRIES {
                last = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        let next = last.map(|mut key: Vec<u8>| {
            key.push(0);
            key
        });
        let rest = next.as_ref().map(|next| images.before.split_off(next)).unwrap_or_default();
        for (key, before) in std::mem::replace(&mut images.before, rest) {
            match before {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        images.cursor = next.clone().unwrap_or_else(|| DATA_END.to_vec());
        Ok(Piece { entries, next })
    }
}

struct Piece {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    next: Option<Vec<u8>>,
}

/// Moves a state that cannot be used out of the way; only the newest such is kept.
pub(crate) fn move_aside(dir: &Path) -> io::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let aside = dir.with_extension("aside");
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
    std::fs::rename(dir, &aside)
}

fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            tracing::info!(dir = %dir.display(), "the applied state was not closed before the system stopped and is rebuilt");
            Ok(())
        }
    }
}

fn remove_aside(dir: &Path) {
    // Only a copy that was replaced on purpose; failing to remove it costs space, nothing else.
    let _ = std::fs::remove_dir_all(dir.with_extension("aside"));
}

fn open_sled(dir: &Path, cache_bytes: u64) -> Result<sled::Db, Fault> {
    crate::dir::create_dir(dir).map_err(sled::Error::Io)?;
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(cache_bytes)
        .mode(sled::Mode::LowSpace)
        .flush_every_ms(None);
    let deadline = Instant::now() + Duration::from_secs(3);
    loop {
        // A damaged file may make sled panic; that is a reason to rebuild, not to end the node.
        match std::panic::catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => {
                owner_only(dir).map_err(sled::Error::Io)?;
                return Ok(db);
            }
            // The directory is ours by our own lock: this is sled's last user on its way out.
            Ok(Err(sled::Error::Io(error)))
                if error.to_string().contains("lock") && Instant::now() < deadline =>
            {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(Fault::Panicked),
        }
    }
}

/// Sled creates its files with the modes of the process; the directory keeps others out, and what is
/// there at the start gets the right mode as well.
fn owner_only(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let mode = if entry.file_type()?.is_dir() { 0o700 } else { 0o600 };
        std::fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn read_head(db: &sled::Db) -> Result<Head, Fault> {
    let meta = smr_state::meta(&SledView(db)).map_err(fault)?;
    let Some(bytes) = db.get(MARKER)? else {
        return if db.is_empty() { Ok(Head::default()) } else { Err(Fault::Marker) };
    };
    let marker: Marker = postcard::from_bytes(&bytes).map_err(|_| Fault::Marker)?;
    if marker.revision != meta.revision {
        return Err(Fault::Marker);
    }
    Ok(Head { marker, meta })
}

fn encode(marker: &Marker) -> Vec<u8> {
    postcard::to_stdvec(marker).expect("encoding into memory fails for no marker")
}

fn fault(error: smr_state::Error<Fault>) -> Fault {
    match error {
        smr_state::Error::View { source } => source,
        smr_state::Error::Corrupt { key } => Fault::Corrupt { key },
        smr_state::Error::Refused(_) => Fault::Marker,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
