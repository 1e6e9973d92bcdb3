//! A timer finer than the runtime's millisecond: a `timerfd` in the same event loop, so
//! that a thread paces itself without a second thread to wake it.

use std::io;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Sleeps with the kernel's precision, some tens of microseconds.
pub struct FineTimer {
    descriptor: AsyncFd<std::os::fd::OwnedFd>,
}

impl FineTimer {
    /// A timer in the current runtime.
    ///
    /// # Errors
    /// Returns the operating system's error if it is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; an owned descriptor that is never exchanged meets \
                      the successor's conditions"
        )]
        let descriptor = AsyncFd::new(descriptor)?;
        Ok(Self { descriptor })
    }

    /// Returns after `duration`; at once for zero.
    ///
    /// # Errors
    /// Returns the operating system's error if it refuses to set the timer, which it has no reason
    /// to.
    pub async fn sleep(&self, duration: Duration) -> io::Result<()> {
        if duration.is_zero() {
            return Ok(());
        }
        let it_value = Timespec {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: duration.subsec_nanos().into(),
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval, it_value };
        timerfd_settime(self.descriptor.get_ref(), TimerfdTimerFlags::empty(), &setting)?;
        loop {
            let mut ready = self.descriptor.readable().await?;
            let mut expirations = [0_u8; 8];
            let read = ready.try_io(|inner| {
                rustix::io::read(inner.get_ref(), &mut expirations).map_err(io::Error::from)
            });
            if let Ok(result) = read {
                return result.map(drop);
            }
        }
    }
}
