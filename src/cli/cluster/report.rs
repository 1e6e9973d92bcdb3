//! How a cluster is, for people and for machines.

use crate::app::steering::{NodeStanding, ShardStanding, Standing};
use crate::cli::numbers::grouped;
use serde::Serialize;
use std::io::{self, Write};

/// How a report is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// The object that `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    identity: &'a str,
    prefix: &'a str,
    revision: i64,
    nodes: Vec<Node<'a>>,
    shards: Vec<Shard<'a>>,
    settings_version: Option<u64>,
    etcd: Etcd<'a>,
    /// What is wrong, in words.
    troubles: &'a [String],
}

#[derive(Serialize)]
struct Node<'a> {
    name: &'a str,
    /// In hexadecimal digits: more than every reader of JSON takes as a number.
    incarnation: String,
    http_address: &'a str,
    version: &'a str,
    shards: usize,
    draining: bool,
    settings_version: u64,
}

#[derive(Serialize)]
struct Shard<'a> {
    shard: u16,
    owner: Option<&'a str>,
    epoch: u64,
    last_record: u64,
    trimmed_record: u64,
    batches: u64,
    moves_to: Option<&'a str>,
}

#[derive(Serialize)]
struct Etcd<'a> {
    version: &'a str,
    file_bytes: u64,
    used_bytes: u64,
    has_leader: bool,
    full: bool,
}

/// Prints how the cluster is.
///
/// # Errors
/// Returns the output's error if it cannot be written.
pub(super) fn print(
    standing: &Standing,
    format: Format,
    prefix: &str,
    output: &mut impl Write,
) -> io::Result<()> {
    match format {
        Format::Json => {
            writeln!(output, "{}", serde_json::json!(Report::of(standing, prefix)))
        }
        Format::Text => print_text(standing, prefix, output),
    }
}

fn print_text(standing: &Standing, prefix: &str, output: &mut impl Write) -> io::Result<()> {
    let Standing { cluster, revision, nodes, shards, settings_version, etcd, troubles } = standing;
    writeln!(
        output,
        "shop {} under {prefix}: {} nodes, {} shards, revision {revision}\n",
        cluster.identity,
        nodes.len(),
        shards.len(),
    )?;
    let wide = nodes.iter().map(|node| node.name.len()).max().unwrap_or(0).max("owner".len());
    writeln!(output, "{:<wide$}  shards  {:<21}  settings  version", "node", "address")?;
    for node in nodes {
        let NodeStanding { name, http_address, version, shards, settings_version, .. } = node;
        let draining = if node.is_draining { "  draining" } else { "" };
        writeln!(
            output,
            "{name:<wide$}  {shards:>6}  {http_address:<21}  {settings_version:>8}  {version}{draining}"
        )?;
    }
    writeln!(
        output,
        "\nshard  {:<wide$}  epoch       records    trimmed to  batches in etcd",
        "owner"
    )?;
    for found in shards {
        let ShardStanding { shard, epoch, .. } = found;
        let owner = found.owner.as_deref().unwrap_or("-");
        let (last, trimmed) = (grouped(found.last_record), grouped(found.trimmed_record));
        let batches = grouped(found.batches);
        write!(
            output,
            "{shard:>5}  {owner:<wide$}  {epoch:>5}  {last:>12}  {trimmed:>12}  {batches:>15}"
        )?;
        match &found.moves_to {
            Some(to) => writeln!(output, "  on its way to {to}")?,
            None => writeln!(output)?,
        }
    }
    writeln!(
        output,
        "\netcd {}: a file of {} bytes, {} in use\n",
        etcd.version,
        grouped(etcd.file_bytes),
        grouped(etcd.used_bytes),
    )?;
    if let Some(version) = settings_version {
        writeln!(output, "settings: version {version}\n")?;
    }
    for trouble in troubles {
        writeln!(output, "wrong: {trouble}")?;
    }
    if troubles.is_empty() { writeln!(output, "nothing is wrong") } else { Ok(()) }
}

impl<'a> Report<'a> {
    fn of(standing: &'a Standing, prefix: &'a str) -> Self {
        let etcd = &standing.etcd;
        Self {
            identity: &standing.cluster.identity,
            prefix,
            revision: standing.revision,
            nodes: standing.nodes.iter().map(Node::of).collect(),
            shards: standing.shards.iter().map(Shard::of).collect(),
            settings_version: standing.settings_version,
            etcd: Etcd {
                version: &etcd.version,
                file_bytes: etcd.file_bytes,
                used_bytes: etcd.used_bytes,
                has_leader: etcd.has_leader,
                full: etcd.is_full,
            },
            troubles: &standing.troubles,
        }
    }
}

impl<'a> Node<'a> {
    fn of(node: &'a NodeStanding) -> Self {
        Self {
            name: &node.name,
            incarnation: format!("{:016x}", node.incarnation),
            http_address: &node.http_address,
            version: &node.version,
            shards: node.shards,
            draining: node.is_draining,
            settings_version: node.settings_version,
        }
    }
}

impl<'a> Shard<'a> {
    fn of(found: &'a ShardStanding) -> Self {
        Self {
            shard: found.shard.0,
            owner: found.owner.as_deref(),
            epoch: found.epoch,
            last_record: found.last_record,
            trimmed_record: found.trimmed_record,
            batches: found.batches,
            moves_to: found.moves_to.as_deref(),
        }
    }
}
