//! Whether this user may read a data directory, and whose it is if not: its files are their user's alone.

use super::failure::{Exit, Failure};
use rustix::process::geteuid;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Checks that this user may read what the data directory holds of the sale. What is not there is for
/// others to notice.
///
/// # Errors
/// Returns [`Failure`] with the user whose it is.
pub fn check(data_dir: &Path) -> Result<(), Failure> {
    let journal = data_dir.join("journal");
    match [data_dir, &journal].into_iter().find_map(unreadable_in) {
        Some(path) => Err(refused(&path)),
        None => Ok(()),
    }
}

/// The directory, or a file in it, if it is denied to this user. Directories in it do not count.
fn unreadable_in(directory: &Path) -> Option<PathBuf> {
    let is_denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return is_denied(&error).then(|| directory.to_owned()),
    };
    entries.flatten().map(|entry| entry.path()).find(|path| {
        let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
        is_file && File::open(path).is_err_and(|error| is_denied(&error))
    })
}

fn refused(path: &Path) -> Failure {
    let own = geteuid().as_raw();
    let found = path.ancestors().find_map(|place| std::fs::metadata(place).ok());
    let owner = found.map_or(own, |found| found.uid());
    let (whose, who) = (name(owner), name(own));
    let remedy = if owner == own {
        format!("give {whose} the right to read it: `chmod -R u+rX` on the data directory")
    } else {
        format!(
            "run the command as {whose}, such as with `sudo -u {whose}`: leave the files' rights as they are"
        )
    };
    Failure {
        exit: Exit::Data,
        what: format!("{} belongs to {whose}, and {who} may not read it", path.display()),
        meaning:
            "there is no verdict: nothing was judged and nothing was changed; a shop that serves \
                  from there sells on"
                .to_owned(),
        remedy,
    }
}

/// The user's name, or its number where it has none.
fn name(user: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&users, user).unwrap_or_else(|| format!("user {user}"))
}

fn name_in(users: &str, user: u32) -> Option<String> {
    let named = users
        .lines()
        .find(|line| line.split(':').nth(2).and_then(|number| number.parse().ok()) == Some(user))?;
    named.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_called_by_name_if_there_is_one() {
        let users =
            "root:x:0:0:root:/root:/bin/bash\nshop:x:1001:1001::/srv:/bin/false\n# nobody\n";
        assert_eq!(name_in(users, 1001).as_deref(), Some("shop"));
        assert_eq!(name_in(users, 7), None);
    }
}
