//! The threads of what works behind the sale.

use super::error::AppError;
use std::io;
use tokio::runtime::{Handle, Runtime};

/// The backends' runtime. Dropping a runtime blocks, which an async task must not, neither when the
/// product stops nor when it fails to start; so this one is shut down without waiting.
pub(super) struct Background(Option<Runtime>);

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
            .map(|runtime| Self(Some(runtime)))
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
        self.0.as_ref().expect("taken by the drop only").handle()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
