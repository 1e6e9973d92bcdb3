//! What etcd's messages look like. The code beside this file is generated from `etcd.proto`.

#![expect(clippy::all, clippy::pedantic, reason = "generated code")]

include!("etcdserverpb.rs");
