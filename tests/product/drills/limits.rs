//! Limits that the operating system sets a process: the size of its files.

use crate::support::Site;
use rustix::process::{Resource, Rlimit, getrlimit};
use std::process::Command;

const DATA: i32 = 4;

/// The site's program under a shell's limit of the size of files, in blocks of 1,024 bytes.
fn limited(site: &Site, blocks: u64) -> Command {
    let program = site.command(&["serve"]);
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(format!("ulimit -f {blocks}; exec \"$0\" serve"))
        .arg(program.get_program())
        .current_dir(program.get_current_dir().expect("its directory"))
        .env_clear()
        .envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command
}

#[test]
fn a_limit_of_the_size_of_files_below_a_segment_is_refused_with_words() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
    assert!(maximum.is_none_or(|bytes| bytes > 1 << 30), "this machine has a limit of its own");
    let site = Site::new();
    let output = limited(&site, 16_383).output().expect("bash runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(DATA), "{said}");
    for word in ["16776192 bytes", "16777216", "ulimit -f unlimited", "journal.segment_bytes"] {
        assert!(said.contains(word), "{word:?} is not in\n{said}");
    }
}

#[tokio::test]
async fn a_limit_of_address_space_is_refused_before_anything_is_begun() {
    const FAULT: i32 = 6;
    let site = Site::new().within("ulimit -v 600000");
    let status = site.fail_to_start().await;
    let said = site.log();
    assert_eq!(status.code(), Some(FAULT), "{said}");
    for word in
        ["614400000 bytes of address space", "4294967296", "ulimit -v unlimited", "LimitAS="]
    {
        assert!(said.contains(word), "{word:?} is not in\n{said}");
    }
    assert!(!said.contains("checkpoint") && !said.contains("panicked"), "{said}");
    assert!(!site.data().exists(), "a data directory was made for nothing");
}
