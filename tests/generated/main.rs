//! Code that is generated and committed, so that a build needs no generator: generated anew, it is the
//! same.

use prost::Message as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Generates the code of the one package in `definition`, which is below the folder `includes`, and compares it
/// with the file of that package in the folder `kept`. `SECKILL_GENERATE=1` writes that file instead.
fn check(
    (includes, definition): (&str, &str),
    (kept, package): (&str, &str),
    build: impl FnOnce(tonic_prost_build::Builder) -> tonic_prost_build::Builder,
) {
    let includes = root().join(includes);
    let descriptors = protox::compile([includes.join(definition)], [&includes]);
    let generated = tempfile::tempdir().expect("a folder");
    let builder = tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(generated.path());
    build(builder).compile_fds(descriptors.expect("a sound definition")).expect("code");
    let name = format!("{package}.rs");
    let fresh = fs::read(generated.path().join(&name)).expect("code");
    compare(&root().join(kept).join(name), &fresh);
}

/// Compares what was generated with the file that is kept, or writes that file.
fn compare(kept: &Path, fresh: &[u8]) {
    if std::env::var_os("SECKILL_GENERATE").is_some() {
        fs::write(kept, fresh).expect("written");
    }
    assert!(
        fs::read(kept).expect("a file") == fresh,
        "{} is not what its definition gives: SECKILL_GENERATE=1 cargo test -p tests --test generated",
        kept.display()
    );
}

#[test]
fn the_client_of_etcd_is_what_its_definition_gives() {
    let folder = "src/store/etcd/proto";
    check((folder, "etcd.proto"), (folder, "etcdserverpb"), |builder| builder.build_server(false));
}

#[test]
fn the_link_between_nodes_is_what_its_definition_gives() {
    let folder = "src/peers/proto";
    check((folder, "peer.proto"), (folder, "peer"), |builder| builder);
}

/// Where the shop's interface is defined, and in which file.
const SHOP: (&str, &str) = ("crates/proto/proto", "seckill/v1/shop.proto");

#[test]
fn the_interface_of_the_shop_is_what_its_definition_gives() {
    check(SHOP, ("crates/proto/src", "seckill.v1"), |builder| builder);
}

#[test]
fn the_shop_describes_its_interface_as_it_is_defined() {
    let mut compiler = protox::Compiler::new([root().join(SHOP.0)]).expect("a folder");
    compiler.include_imports(true).include_source_info(false);
    compiler.open_file(root().join(SHOP.0).join(SHOP.1)).expect("a sound definition");
    let descriptors = compiler.file_descriptor_set().encode_to_vec();
    compare(&root().join("crates/proto/src/seckill.v1.bin"), &descriptors);
}
