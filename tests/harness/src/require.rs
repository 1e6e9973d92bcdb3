//! A private server for a test, which passes where it is not installed unless servers are required.

use crate::process::find;
use crate::{Error, Etcd, EtcdOptions, MariaDb, RabbitMq, Redis, Start};
use std::path::PathBuf;

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

/// A private etcd of this many members, or `None` with one line said where it is not installed.
///
/// # Panics
///
/// As [`require`] does.
#[must_use]
pub fn etcd(members: usize) -> Option<Etcd> {
    required(Etcd::start_with(EtcdOptions { members, ..EtcdOptions::default() }))
}

/// The path of a program, or `None` with one line said where it is not installed.
///
/// # Panics
///
/// As [`require`] does.
#[must_use]
pub fn program(name: &'static str) -> Option<PathBuf> {
    required(find(&[name]))
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
