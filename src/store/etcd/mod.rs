//! A thin client of etcd (API version 3): the calls that the cluster needs, and no more.
//!
//! [`Etcd`] keeps to one endpoint while that one answers and moves on when it does not. It repeats
//! nothing of its own accord: [`EtcdError::Unknown`] says that a change may have happened, and only who
//! made it knows how to find out. Nothing here is kept up behind the caller's back: a lease is renewed
//! when [`Etcd::keep_alive`] is called, and a watch that breaks ends with an error.
//!
//! The code below `proto` is generated from `proto/etcd.proto` and committed, so that a build needs no
//! compiler of protocols; a test generates it anew and compares. Must not know what is stored, nor who
//! owns what.

mod client;
mod endpoints;
mod error;
mod proto;
mod stored;
mod transaction;
mod watch;

pub use client::{Etcd, EtcdStatus, Lease, StoredPage};
pub use endpoints::{EtcdAddress, EtcdAddressError, EtcdLogin, EtcdTls};
pub use error::EtcdError;
pub use stored::Stored;
pub use transaction::{Condition, Operation, Transaction, TransactionAnswer};
pub use watch::{Change, Watch};

/// The end of the range of all keys that begin with `prefix`: the first key behind them. For a prefix
/// of 0xFF bytes alone it is etcd's sign for "to the end", a zero byte.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_behind_it() {
        assert_eq!(prefix_end(b"/a/"), b"/a0");
        assert_eq!(prefix_end(&[1, 0xff]), [2]);
        assert_eq!(prefix_end(&[0xff, 0xff]), [0]);
        assert_eq!(prefix_end(&[]), [0]);
    }
}
