//! Code that is generated and committed, so that a build needs no generator: generated anew, it is the
//! same.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Generates the code of the one package in `definition` and compares it with the file beside it.
/// `SECKILL_GENERATE=1` writes that file instead.
fn check(
    definition: &str,
    package: &str,
    build: impl FnOnce(tonic_prost_build::Builder) -> tonic_prost_build::Builder,
) {
    let definition = root().join(definition);
    let folder = definition.parent().expect("a folder");
    let descriptors = protox::compile([&definition], [folder]).expect("a sound definition");
    let generated = tempfile::tempdir().expect("a folder");
    let builder = tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(generated.path());
    build(builder).compile_fds(descriptors).expect("code");
    let name = format!("{package}.rs");
    let fresh = fs::read_to_string(generated.path().join(&name)).expect("code");
    let committed = folder.join(&name);
    if std::env::var_os("SECKILL_GENERATE").is_some() {
        fs::write(&committed, &fresh).expect("written");
    }
    let kept = fs::read_to_string(&committed).expect("code");
    assert!(
        kept == fresh,
        "{} is not what its definition gives: SECKILL_GENERATE=1 cargo test -p tests --test generated",
        committed.display()
    );
}

#[test]
fn the_client_of_etcd_is_what_its_definition_gives() {
    check("src/store/etcd/proto/etcd.proto", "etcdserverpb", |builder| builder.build_server(false));
}

#[test]
fn the_link_between_nodes_is_what_its_definition_gives() {
    check("src/peers/proto/peer.proto", "peer", |builder| builder);
}
