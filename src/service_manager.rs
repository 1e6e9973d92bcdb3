//! What the service manager that started this process is told: how far the start is, that the process serves,
//! that it lives, that it stops.
//!
//! systemd's protocol: datagrams to the socket that `NOTIFY_SOCKET` names; without one nothing is done. A
//! manager that does not read keeps nobody waiting: a thread of its own sends, and what finds no room in front
//! of it is dropped. Must not know what is served.

use sd_notify::NotifyState;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Messages that wait for the manager to take them.
const WAITING_MAX: usize = 16;

/// The service manager. The default one is told nothing. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ServiceManager {
    messages: Option<SyncSender<Message>>,
    /// How long it waits for a sign of life, if it does.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
enum Message {
    Status(String),
    Ready(String),
    Stopping(String),
    Alive,
}

impl ServiceManager {
    /// The one that the environment names, if any.
    ///
    /// # Errors
    /// Returns the operating system's error if no thread can be started.
    pub fn from_environment() -> io::Result<Self> {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(Self::default());
        }
        let (messages, waiting) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("seckill-manager".to_owned())
            .spawn(move || send_each(&waiting))?;
        let watchdog = sd_notify::watchdog_enabled();
        Ok(Self { messages: Some(messages), watchdog })
    }

    /// Says in words what the process does, in one line.
    pub fn status(&self, words: &str) {
        self.send(Message::Status(words.to_owned()));
    }

    /// Says that the process serves.
    pub fn ready(&self, words: &str) {
        self.send(Message::Ready(words.to_owned()));
    }

    /// Says that the process is about to end by itself.
    pub fn stopping(&self, words: &str) {
        self.send(Message::Stopping(words.to_owned()));
    }

    /// Gives a sign of life twice in the time after which the manager would miss one, for as long as the
    /// runtime gives this task a turn. Returns at once if the manager waits for none.
    pub async fn keep_watchdog(self) {
        const PERIOD_MIN: Duration = Duration::from_millis(1);
        let Some(limit) = self.watchdog else { return };
        let mut ticks = tokio::time::interval((limit / 2).max(PERIOD_MIN));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.send(Message::Alive);
        }
    }

    fn send(&self, message: Message) {
        let Some(messages) = &self.messages else { return };
        if messages.try_send(message).is_err() {
            tracing::warn!("the service manager takes nothing, and is not told");
        }
    }
}

/// Sends until nobody can say anything more.
fn send_each(waiting: &Receiver<Message>) {
    for message in waiting {
        let sent = match &message {
            Message::Status(words) => sd_notify::notify(&[NotifyState::Status(words)]),
            Message::Ready(words) => {
                sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(words)])
            }
            Message::Stopping(words) => {
                sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(words)])
            }
            Message::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}
