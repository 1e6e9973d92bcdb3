//! `seckill man`: the manual pages, made from what the command line itself says.

use super::failure::{Exit, Failure};
use crate::store::public_files::{make_folder, make_readable};
use clap::Command;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
    write(program, folder).map_err(|error| Failure {
        exit: Exit::Fault,
        what: format!("the manual pages cannot be written to {}: {error}", folder.display()),
        meaning: "some of them may be there; no sale was touched".to_owned(),
        remedy: "name a folder that this user may write to, and repeat".to_owned(),
    })?;
    writeln!(output, "the manual pages are in {0}: `man {0}/seckill.1`", folder.display())?;
    Ok(())
}

/// Writes the pages for everybody to read.
fn write(program: Command, folder: &Path) -> io::Result<()> {
    let name = program.get_name().to_owned();
    make_folder(folder)?;
    clap_mangen::generate_to(program, folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        // The folder may have pages of other programs.
        if file.starts_with(&name) && file.ends_with(".1") {
            make_readable(&entry.path())?;
        }
    }
    Ok(())
}
