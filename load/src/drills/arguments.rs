//! The command line of `load drills`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::Args;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::course::{carry_out, chosen};
use super::document::document;
use super::setting::Setting;
use crate::output::print;
use crate::stage::find_binary;
use crate::{Error, Result};

/// Arguments of `load drills`.
#[derive(Debug, Args)]
pub struct DrillArguments {
    /// The engine's program; by default the workspace's release build, made if need be.
    #[arg(long, value_name = "PATH")]
    pub server_bin: Option<PathBuf>,
    /// A build of it with failpoints, for the drills that need one.
    #[arg(long, value_name = "PATH")]
    pub failpoint_bin: Option<PathBuf>,
    /// Only these drills, such as `13,21,kills`.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Little load and the small drills alone, for a build that is not made for speed.
    #[arg(long)]
    pub quick: bool,
    /// Seed of everything random.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Write the page as one HTML document.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Keep the drills' directories here, with data, logs and confirmations, a directory for each drill.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Print the page as JSON.
    #[arg(long)]
    pub json: bool,
    /// Print the table of all drills, which is `docs/drills.md`, and carry nothing out.
    #[arg(long, exclusive = true)]
    pub table: bool,
}

/// Carries the drills out; false if one failed.
///
/// # Errors
/// Returns what kept them from being carried out.
pub async fn drills(arguments: DrillArguments) -> Result<bool> {
    if arguments.table {
        print(&document())?;
        return Ok(true);
    }
    let drills = chosen(&arguments.only)?;
    if let Some(failpoints) = &arguments.failpoint_bin {
        check_failpoints(failpoints).await?;
    }
    let binary = find_binary(arguments.server_bin.as_deref()).await?;
    let program = program(&binary).await?;
    if let Some(path) = &arguments.html {
        // Before minutes are spent on a page that has no place.
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(Error::io(format!("writing {}", path.display())))?;
    }
    let setting = Setting {
        binary,
        program,
        keep: arguments.keep,
        failpoints: arguments.failpoint_bin.map(absolute).transpose()?,
        quick: arguments.quick,
        seed: arguments.seed,
        environment: BTreeMap::new(),
    };
    let page = carry_out(&setting, &drills, !arguments.only.is_empty()).await;
    print(&if arguments.json { page.json() } else { page.table() })?;
    if let Some(path) = &arguments.html {
        page.write_html(path)?;
    }
    Ok(page.passed)
}

/// Which program this is: its version, and what its bytes come to.
async fn program(path: &Path) -> Result<String> {
    let asked = Command::new(path).arg("--version").stdin(Stdio::null()).output().await;
    let said = asked.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    let version = said.ok().filter(|said| said.starts_with("seckill ")).ok_or_else(|| {
        let remedy = "--server-bin names the seckill program".to_owned();
        Error::Missing {
            what: format!("the engine ({} is another program)", path.display()),
            remedy,
        }
    })?;
    let reading = || Error::io(format!("reading {}", path.display()));
    let bytes = tokio::fs::read(path).await.map_err(reading())?;
    let sum = tokio::task::spawn_blocking(move || Sha256::digest(&bytes)).await;
    let sum =
        sum.map_err(|error| Error::Server(format!("summing the program up failed: {error}")))?;
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{version}, sha256 {sum}"))
}

/// Engines run in a directory of their own.
fn absolute(path: PathBuf) -> Result<PathBuf> {
    path.canonicalize().map_err(Error::io(format!("finding {}", path.display())))
}

/// A build without failpoints would pass every drill that needs them by doing nothing: one that has them does
/// not take a setting of them that cannot be read.
async fn check_failpoints(program: &Path) -> Result<()> {
    let ended = Command::new(program)
        .args(["config", "template"])
        .env("FAILPOINTS", "a-drill=nonsense")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .map_err(Error::io(format!("starting {}", program.display())))?;
    if ended.success() {
        return Err(Error::Missing {
            what: format!("a failpoint in {}", program.display()),
            remedy: "build it with `--features fail/failpoints`".to_owned(),
        });
    }
    Ok(())
}
