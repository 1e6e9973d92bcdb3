//! A disk that remembers what was synced, and forgets the rest when the power goes.
//!
//! Unsynced writes are kept, lost or torn sector by sector; creations, renames and removals that no
//! directory sync has covered survive as far as some point between the last sync and the crash. On
//! request it fails, fills up, holds its syncs, or lies about having done them.

use harness::Random;
use parking_lot::{Condvar, Mutex};
use seckill::store::journal::file::disk::{Disk, DiskFile, FileIdentity};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const SECTOR: usize = 512;
const ERROR_IO: i32 = 5;
const ERROR_TOO_MANY_FILES: i32 = 24;
const ERROR_NO_SPACE: i32 = 28;

/// A disk in memory. Clones share one disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// The names after each change since the last directory sync.
    unsynced_names: Vec<BTreeMap<String, usize>>,
    contents: Vec<Content>,
    capacity: Option<u64>,
    syncs_until_failure: Option<u64>,
    holds_syncs: bool,
    held: usize,
    skips_data_syncs: bool,
    skips_directory_syncs: bool,
    refuses_opening: bool,
    has_crashed: bool,
}

#[derive(Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl SimulatedDisk {
    /// The power goes: this disk does nothing any more, and what a machine would find after it is
    /// returned, without the faults.
    pub fn crash(&self, dice: &mut Random) -> Self {
        let mut state = self.0.state.lock();
        state.has_crashed = true;
        state.holds_syncs = false;
        self.0.changed.notify_all();
        let survived = dice.below(state.unsynced_names.len() as u64 + 1) as usize;
        let names = match survived {
            0 => &state.durable_names,
            count => &state.unsynced_names[count - 1],
        };
        let contents: Vec<Content> =
            state.contents.iter().map(|content| content.after_crash(dice)).collect();
        let after = State {
            names: names.clone(),
            durable_names: names.clone(),
            contents,
            ..State::default()
        };
        Self(Arc::new(Shared { state: Mutex::new(after), changed: Condvar::new() }))
    }

    /// The `count`-th data sync from now fails, and only that.
    pub fn fail_sync(&self, count: u64) {
        self.0.state.lock().syncs_until_failure = Some(count);
    }

    /// How many bytes all files may have together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.state.lock().capacity = bytes;
    }

    /// Whether there are no descriptors left to open a file with.
    pub fn refuse_opening(&self, refuse: bool) {
        self.0.state.lock().refuses_opening = refuse;
    }

    /// Data syncs do not come back from now on.
    pub fn hold_syncs(&self) {
        self.0.state.lock().holds_syncs = true;
    }

    /// Waits until a data sync is held.
    pub fn wait_until_held(&self) {
        let mut state = self.0.state.lock();
        while state.held == 0 {
            self.0.changed.wait(&mut state);
        }
    }

    /// Lets the held syncs come back.
    pub fn release_syncs(&self) {
        self.0.state.lock().holds_syncs = false;
        self.0.changed.notify_all();
    }

    /// A planted bug: data syncs say that they are done and are not.
    pub fn skip_data_syncs(&self) {
        self.0.state.lock().skips_data_syncs = true;
    }

    /// A planted bug: directory syncs say so and are not.
    pub fn skip_directory_syncs(&self) {
        self.0.state.lock().skips_directory_syncs = true;
    }

    /// Whether there is a file of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.state.lock().names.contains_key(name)
    }

    /// A file's bytes.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.0.state.lock();
        state.contents[state.names[name]].seen.clone()
    }

    /// Replaces a file's bytes, durably, as if it had always been so.
    pub fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.0.state.lock();
        let State { names, durable_names, contents, .. } = &mut *state;
        let file = *names.entry(name.to_owned()).or_insert(contents.len());
        durable_names.insert(name.to_owned(), file);
        contents.resize_with(contents.len().max(file + 1), Content::default);
        contents[file] = Content { durable: bytes.clone(), seen: bytes, unsynced: Vec::new() };
    }

    /// Another disk with the same content, all of it durable.
    pub fn copy(&self) -> Self {
        let copy = Self::default();
        for name in self.list().expect("a simulated disk lists its files") {
            copy.set_bytes(&name, self.bytes(&name));
        }
        copy
    }

    fn alive<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.state.lock();
        if state.has_crashed {
            return Err(io::Error::from_raw_os_error(ERROR_IO));
        }
        work(&mut state)
    }
}

impl State {
    fn check_descriptors(&self) -> io::Result<()> {
        match self.refuses_opening {
            true => Err(io::Error::from_raw_os_error(ERROR_TOO_MANY_FILES)),
            false => Ok(()),
        }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names_changed(&mut self) {
        self.unsynced_names.push(self.names.clone());
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| self.contents[*file].seen.len() as u64).sum()
    }
}

impl Content {
    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            put(&mut self.durable, offset, &bytes);
        }
    }

    fn after_crash(&self, dice: &mut Random) -> Self {
        let mut found = self.durable.clone();
        let last_write = self.unsynced.len().saturating_sub(1);
        for (number, (offset, bytes)) in self.unsynced.iter().enumerate() {
            // As often as not all of it or nothing of it arrived.
            let mood = dice.below(4);
            let mut start = 0;
            while start < bytes.len() {
                let end = bytes.len().min(start + SECTOR - (offset + start) % SECTOR);
                let last = number == last_write && end == bytes.len();
                match (mood, dice.below(2)) {
                    (0, _) => {}
                    (1, _) | (_, 0) if last && dice.once_in(4) => {
                        let torn = start + dice.below((end - start) as u64 + 1) as usize;
                        put(&mut found, offset + start, &bytes[start..torn]);
                    }
                    (1, _) | (_, 0) => put(&mut found, offset + start, &bytes[start..end]),
                    _ => {}
                }
                start = end;
            }
        }
        Self { seen: found.clone(), durable: found, unsynced: Vec::new() }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

impl Disk for SimulatedDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.alive(|state| {
            state.check_descriptors()?;
            let file = state.contents.len();
            state.contents.push(Content::default());
            state.names.insert(name.to_owned(), file);
            state.names_changed();
            Ok(file)
        })?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.alive(|state| {
            state.check_descriptors()?;
            state.find(name)
        })?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.alive(|state| {
            let file = state.find(from)?;
            state.names.remove(from);
            state.names.insert(to.to_owned(), file);
            state.names_changed();
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.alive(|state| {
            state.find(name)?;
            state.names.remove(name);
            state.names_changed();
            Ok(())
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.alive(|state| Ok(state.names.keys().cloned().collect()))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.alive(|state| {
            if !state.skips_directory_syncs {
                state.durable_names = state.names.clone();
                state.unsynced_names.clear();
            }
            Ok(())
        })
    }

    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        self.alive(|state| Ok(identity(state.find(name)?)))
    }
}

fn identity(file: usize) -> FileIdentity {
    FileIdentity { device: 0, inode: file as u64 }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
}

impl DiskFile for SimulatedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.alive(|state| {
            let offset = offset as usize;
            let grown = (offset + bytes.len()).saturating_sub(state.contents[self.file].seen.len());
            if state
                .capacity
                .is_some_and(|capacity| grown > 0 && state.used() + grown as u64 > capacity)
            {
                return Err(io::Error::from_raw_os_error(ERROR_NO_SPACE));
            }
            let content = &mut state.contents[self.file];
            put(&mut content.seen, offset, bytes);
            content.unsynced.push((offset, bytes.to_vec()));
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.disk.alive(|state| {
            let seen = &state.contents[self.file].seen;
            let start = seen.len().min(offset as usize);
            let count = bytes.len().min(seen.len() - start);
            bytes[..count].copy_from_slice(&seen[start..start + count]);
            Ok(count)
        })
    }

    fn length(&self) -> io::Result<u64> {
        self.disk.alive(|state| Ok(state.contents[self.file].seen.len() as u64))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.state.lock();
        if state.holds_syncs {
            state.held += 1;
            self.disk.0.changed.notify_all();
            while state.holds_syncs {
                self.disk.0.changed.wait(&mut state);
            }
            state.held -= 1;
        }
        let fails = state.syncs_until_failure.as_mut().is_some_and(|left| {
            *left = left.saturating_sub(1);
            *left == 0
        });
        if fails {
            state.syncs_until_failure = None;
        }
        if state.has_crashed || fails {
            return Err(io::Error::from_raw_os_error(ERROR_IO));
        }
        if !state.skips_data_syncs {
            state.contents[self.file].sync();
        }
        Ok(())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity(self.file))
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}
