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

pub mod certificates;
mod error;
mod etcd;
mod fault;
mod hooks;
pub mod hostile;
pub mod http;
mod issuer;
mod mariadb;
mod nginx;
mod port;
mod process;
mod prometheus;
pub mod proof;
mod provider;
mod proxy;
mod pump;
mod rabbitmq;
mod random;
mod redis;
mod require;
mod server;
mod small_disk;
mod start;
mod wait;
mod watchdog;

pub use error::Error;
pub use etcd::{Etcd, EtcdCertificates, EtcdOptions};
pub use fault::Sender;
pub use hooks::{Hook, HookAnswer, HookReceiver};
pub use issuer::{Issuer, Manner, SigningKey, jwk_set, mac_token};
pub use mariadb::MariaDb;
pub use nginx::Nginx;
pub use prometheus::Prometheus;
pub use provider::{PROVIDER_KEY, PaymentProvider, sign_callback};
pub use proxy::Proxy;
pub use rabbitmq::RabbitMq;
pub use random::Random;
pub use redis::{AppendOnly, Redis, RedisOptions};
pub use require::{etcd, mariadb, program, rabbitmq, redis, require, required};
pub use server::Server;
pub use small_disk::SmallDisk;
pub use start::Start;
pub use wait::{patiently, until};
