//! The toy engine's program, which tests of the laboratory have lie to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The toy's program. `cargo test` builds examples beside the tests; `cargo test --test NAME` alone does not,
/// so this does where it is missing.
pub fn program() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let test = std::env::current_exe().expect("this test has a file");
        let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/test");
        let toy = profile.join("examples/toy_engine");
        if !toy.exists() {
            build();
        }
        toy
    };
    FOUND.get_or_init(find).clone()
}

fn build() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "load", "--example", "toy_engine"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // What cargo tells this test about itself would make dependencies build again.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_")) {
        if !["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&name.as_str()) {
            cargo.env_remove(name);
        }
    }
    assert!(cargo.status().expect("cargo runs").success(), "the toy does not build");
}
