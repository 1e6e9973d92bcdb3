//! The threads of what works behind the sale.

use super::error::AppError;
use std::io;
use std::mem::ManuallyDrop;
use tokio::runtime::{Handle, Runtime};

/// The backends' runtime, which ends with the process: a runtime that is shut down cancels its tasks, and where a thread
/// of RabbitMQ's client waits for one, that thread panics. What works there is stopped by name before
/// ([`App::stop`](super::App::stop)).
pub(super) struct Background(ManuallyDrop<Runtime>);

impl Background {
    /// Starts one thread of low priority, which uses the processor time that the sale leaves.
    pub(super) fn start() -> io::Result<Self> {
        const NICENESS: i32 = 19;
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("seckill-behind")
            .enable_all()
            .on_thread_start(|| {
                // On Linux this is the calling thread's priority. Without the right to lower it the
                // backends compete with the sale, which is slower and not wrong.
                if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                    tracing::warn!(%error, "the backends' thread keeps its priority");
                }
            })
            .build()
            .map(|runtime| Self(ManuallyDrop::new(runtime)))
    }

    /// Runs `work` on the runtime and waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, AppError> {
        let done = self.handle().spawn(work).await;
        done.map_err(|error| AppError::Threads(io::Error::other(error)))
    }

    pub(super) fn handle(&self) -> &Handle {
        self.0.handle()
    }
}
