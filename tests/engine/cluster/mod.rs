//! Several engines on one log that they share, in one process.

mod crowd;
mod etcd;
mod member;
mod moving;
mod node;
