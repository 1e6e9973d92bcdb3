//! The command line: the commands of `seckill`, and the modules that carry them out.
//!
//! Owns arguments, text for people and exit codes. Must not know how a sale works.

pub mod audit;
pub mod backup;
pub mod banner;
pub mod client;
pub mod cluster;
pub mod configuration;
pub mod dead_letters;
pub mod demo;
pub mod export;
pub mod failure;
pub mod gateway;
pub mod health;
pub mod live_settings;
pub mod man;
pub mod migrate;
pub mod mint;
mod numbers;
pub mod operator;
mod own_certificate;
mod process_limits;
mod readable;
pub mod recover;
mod refused_start;
mod running;
pub mod serve;
pub mod webhooks;

use crate::config::{self, Loaded};
use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use rustix::fs::Mode;
use serve::ServeArguments;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// A flash-sale engine: one actor owns each product's stock, and every confirmation is durable
/// before the buyer hears of it.
#[derive(Debug, Parser)]
#[command(name = "seckill", version, after_help = EXIT_CODES)]
pub struct Arguments {
    /// The configuration file [default: config.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Without one, `serve`
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  an audit found an invariant broken, the shop that was asked for its health does not sell, or something
      is wrong with the cluster that was looked at
   2  the command line was not understood
   3  the configuration was refused
   4  the data directory cannot be used, or an audit found nothing broken and could not ask a store
   5  the address cannot be listened on
   6  something failed on the way
  74  the journal failed while the sale was on";

/// The commands of `seckill`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the sale until SIGTERM or SIGINT, then drain
    Serve(ServeArguments),
    /// Judge every invariant over the journal, the checkpoints and the order store
    Audit(audit::AuditArguments),
    /// Copy the shop's data, beside the shop that sells, and audit the copy
    Backup(backup::BackupArguments),
    /// Bring the order store's tables up to date
    Migrate,
    /// Begin a new journal where the old one is lost, from what the order store holds
    Recover(recover::RecoverArguments),
    /// Look at a cluster's nodes and shards, and say which node is to serve which
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Look at what the order store could not take, or send it again
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLettersCommand),
    /// Say who is told by webhooks what happens, and look at how that goes
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say who may log in to the console
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Set up new sales of the demo and end those of before, in a shop that runs or is stopped
    Demo,
    /// Write the shop's pages as files, for a web server in front of it
    Export(export::ExportArguments),
    /// Tell nginx or Kong in front of the shop where its nodes are
    #[command(subcommand)]
    Gateway(gateway::GatewayCommand),
    /// Print tokens for buyers, an operator, an approver or an admin
    Mint(mint::MintArguments),
    /// Ask the shop on this machine whether it sells, for a container's health check
    Health,
    /// Write the manual pages
    Man(man::ManArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell that the script is for
        shell: clap_complete::Shell,
    },
}

/// The commands about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check it, and print what is in effect and where each value comes from, without secrets
    Check(configuration::CheckArguments),
    /// Print config.toml with every setting at its default
    Template,
    /// Look at or change what the shop that runs here goes by
    #[command(flatten)]
    Live(live_settings::LiveCommand),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    // Orders, passwords' hashes and secrets are this user's alone, in whichever file they end up.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let arguments = Arguments::parse();
    // A shop has no use for its output once it sells, so it is no failure that nothing took the banner.
    let needs_output = !matches!(arguments.command, None | Some(Command::Serve(_)));
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let answered = answer(arguments, &mut output);
    let answered = answered.and_then(|code| Ok(output.flush().map(|()| code)?));
    match answered {
        Ok(code) => code,
        // The reader of the output closed it: it wants no more.
        Err(Stop::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Stop::Output(_)) if !needs_output => ExitCode::SUCCESS,
        Err(Stop::Output(error)) => fail(&error.into()),
        Err(Stop::Failure(failure)) => fail(&failure),
    }
}

fn answer(arguments: Arguments, output: &mut impl Write) -> Result<ExitCode, Stop> {
    let configuration = || -> Result<Loaded, Failure> {
        Ok(config::load(arguments.config.as_deref(), std::env::vars_os())?)
    };
    let command = arguments.command.unwrap_or_else(|| Command::Serve(ServeArguments::default()));
    match command {
        Command::Serve(serve) => {
            serve::run(config::Source::new(arguments.config), serve, output)?;
        }
        Command::Cluster(command) => {
            return Ok(cluster::run(&configuration()?, &command, output)?);
        }
        Command::DeadLetters(command) => {
            dead_letters::run(&configuration()?.config, &command, output)?;
        }
        Command::Webhooks(command) => webhooks::run(&configuration()?.config, &command, output)?,
        Command::Export(arguments) => export::run(&configuration()?.config, &arguments, output)?,
        Command::Gateway(command) => gateway::run(&configuration()?.config, &command, output)?,
        Command::Operator(command) => operator::run(&configuration()?.config, &command, output)?,
        Command::Backup(arguments) => backup::run(&configuration()?.config, &arguments, output)?,
        Command::Recover(_) => recover::run(&configuration()?.config, output)?,
        Command::Demo => demo::run(&configuration()?.config, output)?,
        Command::Migrate => migrate::run(&configuration()?.config, output)?,
        Command::Audit(arguments) => {
            let report = audit::run(&configuration()?.config, &arguments)?;
            report.print(arguments.json, output)?;
            if let Some(exit) = report.exit() {
                return Ok(exit.into());
            }
        }
        Command::Config(ConfigCommand::Check(arguments)) => {
            configuration::check(&configuration()?, &arguments, output)?;
        }
        Command::Config(ConfigCommand::Template) => {
            output.write_all(config::template().as_bytes())?;
        }
        Command::Config(ConfigCommand::Live(command)) => {
            live_settings::run(&configuration()?.config, &command, output)?;
        }
        Command::Mint(arguments) => {
            arguments.check()?;
            let config = configuration()?.config;
            let (signer, now) = mint::signer(&config)?;
            mint::print(&arguments, &signer, now, config.tokens.ttl_seconds, output)?;
        }
        Command::Health => health::run(&configuration()?.config, output)?,
        Command::Man(arguments) => man::run(Arguments::command(), &arguments, output)?,
        Command::Completions { shell } => {
            // It panics where its output is closed.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "seckill", &mut script);
            output.write_all(&script)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a command ended early.
enum Stop {
    /// Its output could not be written.
    Output(io::Error),
    /// What the command itself ran into.
    Failure(Failure),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn fail(failure: &Failure) -> ExitCode {
    eprintln!("{failure}");
    failure.exit.into()
}
