//! `seckill export`: the shop's pages as files, for a web server or a delivery network in front of it.

use super::failure::{Exit, Failure};
use super::numbers::grouped;
use crate::app::export::{ExportError, Exported, Exporter};
use crate::config::Config;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// The time between two looks at the catalogue.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What `seckill export` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ExportArguments {
    /// The folder that the files are written to; it is made if it is not there
    folder: PathBuf,

    /// Go on and write what changes, until the process is ended
    #[arg(long)]
    watch: bool,
}

/// Exports the pages, and says how many files there are.
///
/// # Errors
/// Returns [`Failure`] if there is no order store, it does not answer, or a file cannot be written. With
/// `--watch` only the first export may fail; later ones are tried again, and the log says why.
pub fn run(
    config: &Config,
    arguments: &ExportArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut exporter = Exporter::open(config, &arguments.folder).await?;
        if let Some(exported) = exporter.export().await? {
            say(exported, output)?;
        }
        if !arguments.watch {
            return Ok(());
        }
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            match exporter.export().await {
                Ok(Some(exported)) => say(exported, output)?,
                Ok(None) => {}
                Err(error) => eprintln!("not exported, to be tried again: {error}"),
            }
        }
    })
}

fn say(exported: Exported, output: &mut impl Write) -> std::io::Result<()> {
    let count = |count: usize| grouped(u64::try_from(count).unwrap_or(u64::MAX));
    let Exported { files, written } = exported;
    writeln!(output, "exported {} files, {} of them new or changed", count(files), count(written))?;
    output.flush()
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        let (exit, remedy) = match &error {
            ExportError::NoOrderStore(_) | ExportError::Open(_) => (
                Exit::Data,
                "start the shop once, and use its configuration (data.dir, orders.mysql_url)",
            ),
            ExportError::Pages(_) => (Exit::Fault, "make the order store reachable, and repeat"),
            ExportError::File(..) => (Exit::Fault, "make the folder writable, and repeat"),
        };
        Self {
            exit,
            what: format!("the pages were not exported: {error}"),
            meaning: "the shop serves its pages itself; files that were exported are as they were"
                .to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}
