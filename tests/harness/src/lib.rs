//! What tests from outside need: private instances of real servers, a proxy that misbehaves on
//! request, an HTTP client, random numbers from a seed, and a way to wait.
//!
//! Each server runs on free loopback ports in a temporary directory of its own. Dropping the
//! handle kills it and removes the directory; if the test process itself is killed, a watchdog
//! does both. Nothing here touches a server that was running before, and nothing here knows the
//! engine.
//!
//! ```no_run
//! let Some(redis) = harness::redis() else { return };
//! let proxy = harness::Proxy::to(redis.address());
//! let url = proxy.url_for(&redis.url());
//! // … point the code under test at `url` …
//! proxy.cut();
//! redis.kill();
//! redis.empty().unwrap();
//! redis.restart().unwrap();
//! proxy.restore();
//! ```

mod error;
pub mod http;
mod mariadb;
mod port;
mod process;
mod proxy;
mod pump;
mod rabbitmq;
mod random;
mod redis;
mod server;
mod wait;
mod watchdog;

pub use error::Error;
pub use mariadb::MariaDb;
pub use proxy::{Proxy, Sender};
pub use rabbitmq::RabbitMq;
pub use random::Random;
pub use redis::{AppendOnly, Redis, RedisOptions};
pub use server::Server;
pub use wait::{patiently, until};

/// A server that can be started with its defaults; what [`require`] asks for.
pub trait Start: Sized {
    /// Starts a private instance and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where the server is not installed, [`Error::Failed`] with the end of its
    /// log where it did not come up.
    fn start() -> Result<Self, Error>;
}

/// A private Redis, or `None` with one line said where it is not installed.
///
/// # Panics
///
/// As [`require`] does.
#[must_use]
pub fn redis() -> Option<Redis> {
    require()
}

/// A private MariaDB, or `None` with one line said where it is not installed.
///
/// # Panics
///
/// As [`require`] does.
#[must_use]
pub fn mariadb() -> Option<MariaDb> {
    require()
}

/// A private RabbitMQ, or `None` with one line said where it is not installed.
///
/// # Panics
///
/// As [`require`] does.
#[must_use]
pub fn rabbitmq() -> Option<RabbitMq> {
    require()
}

/// Starts a server; where it is not installed, prints `skipped: … is not installed` and returns
/// `None`, so that a test can return early.
///
/// # Panics
///
/// If the server is installed and does not start; and, with `SECKILL_REQUIRE_SERVICES=1` in the
/// environment, if it is not installed.
#[must_use]
pub fn require<T: Start>() -> Option<T> {
    required(T::start())
}

/// As [`require`], for a server that was started with options of its own:
/// `harness::required(Redis::start_with(options))`.
///
/// # Panics
///
/// As [`require`] does.
#[must_use]
pub fn required<T>(started: Result<T, Error>) -> Option<T> {
    match started {
        Ok(server) => Some(server),
        Err(error @ Error::Missing { .. }) => {
            let demanded =
                std::env::var("SECKILL_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
            assert!(!demanded, "{error}, and SECKILL_REQUIRE_SERVICES=1");
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
