//! `seckill man`: the manual pages, made from what the command line itself says.

use super::failure::{Exit, Failure};
use clap::Command;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// What `seckill man` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ManArguments {
    /// The folder that the pages are written to; it is made if it is not there
    folder: PathBuf,
}

/// Writes a page for the program and one for each of its commands.
///
/// # Errors
/// Returns [`Failure`] if a page cannot be written.
pub fn run(
    program: Command,
    arguments: &ManArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let made = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(program, folder));
    made.map_err(|error| Failure {
        exit: Exit::Fault,
        what: format!("the manual pages cannot be written to {}: {error}", folder.display()),
        meaning: "some of them may be there; no sale was touched".to_owned(),
        remedy: "name a folder that this user may write to, and repeat".to_owned(),
    })?;
    writeln!(output, "the manual pages are in {0}: `man {0}/seckill.1`", folder.display())?;
    Ok(())
}
