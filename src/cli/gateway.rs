//! `seckill gateway`: tells the gateway in front of the shop where its nodes are, once or whenever they change.

use super::failure::{Exit, Failure};
use crate::app::gateway::{self, GatewayError, Kong, KongError};
use crate::config::Config;
use crate::store::public_files::make_readable;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// The time between two looks at the nodes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a gateway's own command may take.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Which gateway is told.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum GatewayCommand {
    /// nginx: the upstream that deploy/nginx/nginx.conf includes
    Nginx(NginxArguments),
    /// Kong without a database: its whole configuration
    Kong(KongArguments),
}

/// What `seckill gateway nginx` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct NginxArguments {
    /// The file that is written, such as /etc/nginx/upstream.conf [default: the output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The command that is run after the file was written, such as "nginx -t && nginx -s reload"
    #[arg(long, value_name = "COMMAND", requires = "out")]
    reload: Option<String>,

    /// Go on and write the file whenever the nodes change, until the process is ended
    #[arg(long, requires = "out")]
    watch: bool,
}

/// What `seckill gateway kong` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct KongArguments {
    /// The URL of the Admin API that it is loaded by, such as http://127.0.0.1:8001 [default: it is printed]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,

    /// Go on and load it whenever the nodes change, until the process is ended
    #[arg(long, requires = "admin")]
    watch: bool,
}

/// Tells the gateway where the nodes are.
///
/// # Errors
/// Returns [`Failure`] if the nodes are not known, the file cannot be written, its command fails, or Kong does not
/// take it. With `--watch` only the first time may fail; later ones are tried again, and the error output says why.
pub fn run(
    config: &Config,
    command: &GatewayCommand,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (watch, gateway) = match command {
            GatewayCommand::Nginx(arguments) => (arguments.watch, Told::Nginx(arguments)),
            GatewayCommand::Kong(KongArguments { admin, watch }) => {
                let kong = admin.as_deref().map(Kong::at).transpose()?;
                (*watch, Told::Kong(kong.map(Box::new)))
            }
        };
        let told = gateway::addresses(config).await?;
        gateway.tell(&told, output).await?;
        if watch { follow(config, &gateway, told, output).await } else { Ok(()) }
    })
}

/// Tells the gateway whenever the nodes are not those that it was `told`, for ever.
async fn follow(
    config: &Config,
    gateway: &Told<'_>,
    mut told: Vec<String>,
    output: &mut impl Write,
) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        match gateway::addresses(config).await {
            Ok(now) if now == told => {}
            Ok(now) => match gateway.tell(&now, output).await {
                Ok(()) => told = now,
                Err(failure) => eprintln!("to be tried again: {}", failure.what),
            },
            Err(error) => eprintln!("the gateway keeps the nodes that it has: {error}"),
        }
    }
}

/// Who is told.
enum Told<'a> {
    Nginx(&'a NginxArguments),
    Kong(Option<Box<Kong>>),
}

impl Told<'_> {
    async fn tell(&self, addresses: &[String], output: &mut impl Write) -> Result<(), Failure> {
        let said = match self {
            Self::Nginx(NginxArguments { out: None, .. }) => {
                return Ok(output.write_all(gateway::nginx(addresses).as_bytes())?);
            }
            Self::Kong(None) => {
                return Ok(writeln!(output, "{:#}", gateway::kong(addresses))?);
            }
            Self::Nginx(NginxArguments { out: Some(file), reload, .. }) => {
                replace(file, &gateway::nginx(addresses))
                    .map_err(|error| unwritten(file, &error))?;
                if let Some(reload) = reload {
                    run_reload(reload).await?;
                }
                file.display().to_string()
            }
            Self::Kong(Some(kong)) => {
                kong.load(&gateway::kong(addresses)).await?;
                "Kong".to_owned()
            }
        };
        writeln!(output, "{said}: {}", addresses.join(", "))?;
        Ok(output.flush()?)
    }
}

/// Puts a file with this text in the place of the one that is there, so that a reader sees one of the two.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    fs::write(&new, text)?;
    // No secret is in it, and the gateway is another user.
    make_readable(&new)?;
    fs::rename(&new, file)
}

async fn run_reload(command: &str) -> Result<(), Failure> {
    let ended = match reload(command).await {
        Ok(Some(status)) if status.success() => return Ok(()),
        Ok(Some(status)) => format!("ended with {status}"),
        Ok(None) => format!("took longer than {RELOAD_TIMEOUT:?}"),
        Err(error) => format!("was not run: {error}"),
    };
    Err(Failure {
        exit: Exit::Fault,
        what: format!("the file is written, and `{command}` {ended}"),
        meaning: "the gateway may have the nodes of before".to_owned(),
        remedy: "try the command by itself, then repeat".to_owned(),
    })
}

/// How the command ended; `None` if it was killed because it did not end in time.
async fn reload(command: &str) -> io::Result<Option<ExitStatus>> {
    /// The time between two looks whether it has ended.
    const LOOK: Duration = Duration::from_millis(20);
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        // The output is this command's own.
        .stdout(Stdio::null())
        .spawn()?;
    let until = Instant::now() + RELOAD_TIMEOUT;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        tokio::time::sleep(LOOK).await;
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn unwritten(file: &Path, error: &io::Error) -> Failure {
    Failure {
        exit: Exit::Fault,
        what: format!("{}: {error}", file.display()),
        meaning: "the gateway has the nodes of before".to_owned(),
        remedy: "make its folder writable, and repeat".to_owned(),
    }
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        let remedy = match &error {
            GatewayError::Open(_) => "mend cluster.endpoints and its certificates",
            GatewayError::Cluster(_) => "see that etcd answers; `seckill cluster status` says more",
            GatewayError::NoNodes => "start a node",
            GatewayError::NoAddress { .. } => {
                "mend cluster.advertise of that node, and start it again"
            }
        };
        Self {
            exit: Exit::Fault,
            what: format!("the gateway was told nothing: {error}"),
            meaning: "it has the nodes of before".to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}

impl From<KongError> for Failure {
    fn from(error: KongError) -> Self {
        let exit = if matches!(error, KongError::Url(_)) { Exit::CommandLine } else { Exit::Fault };
        Self {
            exit,
            what: error.to_string(),
            meaning: "Kong has the nodes of before".to_owned(),
            remedy: "see that --admin is the URL of the Admin API of a Kong without a database"
                .to_owned(),
        }
    }
}
