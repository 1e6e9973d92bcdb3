//! The generator's threads: started together, joined with what they recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use super::record::Record;
use super::work::{Progress, Work};
use super::worker;
use crate::{Error, Result};

/// A generator at work.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<Result<Record>>>,
    progress: Arc<Progress>,
    start: Instant,
}

/// As many generator threads as the machine has processors, at most four: the server
/// needs them too.
#[must_use]
pub fn default_threads() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(processors.min(4)).unwrap_or(1)
}

/// Starts the generator; the first request is due at `start`, and connections are opened
/// before it.
///
/// # Errors
/// Returns [`Error::Io`] if a thread cannot be started.
pub fn start(work: Work, start: Instant) -> Result<Running> {
    raise_descriptor_limit(work.generator.connections);
    let progress = Arc::new(Progress::default());
    let work = Arc::new(work);
    let spawn = |number| {
        let (work, progress) = (Arc::clone(&work), Arc::clone(&progress));
        std::thread::Builder::new()
            .name(format!("generator-{number}"))
            .spawn(move || worker::run(&work, number, start, &progress))
            .map_err(Error::io("starting a generator thread"))
    };
    let threads = (0..work.threads.max(1)).map(spawn).collect::<Result<_>>()?;
    Ok(Running { threads, progress, start })
}

impl Running {
    /// The moment of the first request.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.start
    }

    /// The counters of all threads.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// True when all threads have finished.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Asks the threads to stop early; what is in flight is still awaited.
    pub fn stop(&self) {
        self.progress.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the threads and merges what they recorded.
    ///
    /// # Errors
    /// Returns the first thread's error if one failed.
    ///
    /// # Panics
    /// If a generator thread panicked: a bug in the generator.
    pub fn finish(self) -> Result<Record> {
        let mut whole = Record::default();
        for thread in self.threads {
            let record = thread.join().expect("a generator thread panicked")?;
            whole.merge(record);
        }
        whole.confirmations.sort_unstable_by_key(|confirmation| confirmation.at_ns);
        Ok(whole)
    }
}

/// Thousands of connections need as many descriptors. Where the system allows fewer,
/// the run reports connections that could not be opened.
fn raise_descriptor_limit(connections: u32) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::from(connections) + 1_024;
    if limit.current.is_some_and(|current| current < wanted) {
        let current = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        // Refused only if another limit stands in the way, which the run will show.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    }
}
