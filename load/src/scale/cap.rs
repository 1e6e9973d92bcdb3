//! A share of a processor for each process, which the kernel holds it to: a control group, of either version.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

const ROOT: &str = "/sys/fs/cgroup";
/// The time in which a group may use its share. A group that has used it stands still for the rest, so it is short.
const PERIOD_US: u32 = 10_000;

/// A control group, which is removed when it is dropped. Its processes have to have ended by then.
#[derive(Debug)]
pub struct Cap {
    group: PathBuf,
}

impl Cap {
    /// A group of this name whose processes may use so many hundredths of a processor, together.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if this user may not make control groups, or the kernel has none.
    pub fn new(name: &str, percent: u32) -> Result<Self> {
        let quota = (PERIOD_US * percent / 100).max(1_000);
        let name = format!("seckill-{}-{name}", std::process::id());
        let first = Path::new(ROOT).join("cpu");
        let is_first_version = first.join("cpu.cfs_quota_us").exists();
        let group = if is_first_version { first } else { PathBuf::from(ROOT) }.join(name);
        let failed = Error::io("capping nodes takes leave to make control groups (or --percent 0)");
        let set = |file: &str, value: &str| fs::write(group.join(file), value);
        let made = fs::create_dir(&group).and_then(|()| {
            if is_first_version {
                set("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                set("cpu.cfs_quota_us", &quota.to_string())
            } else {
                fs::write(Path::new(ROOT).join("cgroup.subtree_control"), "+cpu")?;
                set("cpu.max", &format!("{quota} {PERIOD_US}"))
            }
        });
        let cap = Self { group };
        made.map_err(failed).map(|()| cap)
    }

    /// Takes a process in, with all its threads.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the kernel refuses it.
    pub fn take(&self, process: u32) -> Result<()> {
        let written = fs::write(self.group.join("cgroup.procs"), process.to_string());
        written.map_err(Error::io("capping a node"))
    }
}

impl Drop for Cap {
    fn drop(&mut self) {
        // What is left of an empty group costs nothing and ends with the machine.
        let _ = fs::remove_dir(&self.group);
    }
}
