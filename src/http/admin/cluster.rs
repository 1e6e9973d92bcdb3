//! The cluster: its nodes and shards to look at, and which node is to serve which.

use crate::actors::cluster::{NodeStanding, ShardStanding, Standing, Steering, SteeringError};
use crate::http::auth::bearer::{Admin, Operator};
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::JsonObject;
use crate::http::request::fields::{Body, body};
use crate::http::request::path::Segment;
use crate::http::request::rules::{Boolean, Text};
use crate::http::state::Edge;
use axum::Json;
use axum::extract::State;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::ToSchema;

/// The longest name of a node, in characters.
const NODE_LENGTH_MAX: usize = 63;

body! {
    /// Where a shard is to be served.
    pub struct MoveRequest {
        /// The name of the node that is to serve it.
        Required to: Text<NODE_LENGTH_MAX>,
    }
}

body! {
    /// What is to be spread over the nodes.
    pub struct RebalanceRequest {
        /// Whether shards with a sale that is on move, too: each of these sales pauses for a moment.
        Optional with_sales: Boolean,
    }
}

/// A cluster as it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterView {
    /// The shop's identity.
    pub identity: String,
    /// The revision of etcd that this is of.
    pub revision: i64,
    /// The nodes that live.
    pub nodes: Vec<NodeView>,
    /// Every shard, in order.
    pub shards: Vec<ShardView>,
    /// How often settings were changed while the shop runs; null if those in etcd cannot be read.
    pub settings_version: Option<u64>,
    /// How etcd is, as the member that was asked sees it.
    pub etcd: EtcdView,
    /// What is wrong, in words; empty if nothing is.
    pub troubles: Vec<String>,
}

/// A node of the cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeView {
    /// The node's name.
    pub name: String,
    /// Which run of it this is, in hexadecimal digits.
    pub incarnation: String,
    /// Where clients reach it, `host:port`.
    pub http_address: String,
    /// The program's version.
    pub version: String,
    /// How many shards it serves.
    pub shards: usize,
    /// Whether it gives its shards away and takes none.
    pub draining: bool,
    /// The version of the settings that it has applied.
    pub settings_version: u64,
}

/// A shard of the cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShardView {
    /// The shard's number.
    pub shard: u16,
    /// The node that serves it; null if nobody does.
    pub owner: Option<String>,
    /// The epoch that may append to its log.
    pub epoch: u64,
    /// Its last record.
    pub last_record: u64,
    /// Its last record that was trimmed from etcd.
    pub trimmed_record: u64,
    /// The batches of its log that are in etcd.
    pub batches: u64,
    /// The node that is to have it, if an operator wants it elsewhere.
    pub moves_to: Option<String>,
}

/// How etcd is.
#[derive(Debug, Serialize, ToSchema)]
pub struct EtcdView {
    /// The version of the member that was asked.
    pub version: String,
    /// The size of its database file, which the quota counts.
    pub file_bytes: u64,
    /// How much of the file is in use.
    pub used_bytes: u64,
    /// Whether it has a leader.
    pub has_leader: bool,
    /// Whether some member has raised the alarm that its database is full.
    pub full: bool,
}

/// The shards that are on their way.
#[derive(Debug, Serialize, ToSchema)]
pub struct RebalanceView {
    /// The shards that were wished elsewhere, and where.
    pub moves: Vec<MoveView>,
}

/// A shard that is wished elsewhere.
#[derive(Debug, Serialize, ToSchema)]
pub struct MoveView {
    /// The shard's number.
    pub shard: u16,
    /// The node that is to serve it.
    pub to: String,
}

impl ClusterView {
    fn example() -> Self {
        Self {
            identity: "b8f1a3c2d4e5f607".to_owned(),
            revision: 1_234,
            nodes: vec![NodeView {
                name: "shop-1".to_owned(),
                incarnation: "f8364746e7299e05".to_owned(),
                http_address: "10.0.0.4:8080".to_owned(),
                version: "0.1.0".to_owned(),
                shards: 1,
                draining: false,
                settings_version: 7,
            }],
            shards: vec![ShardView {
                shard: 0,
                owner: Some("shop-1".to_owned()),
                epoch: 3,
                last_record: 120,
                trimmed_record: 100,
                batches: 12,
                moves_to: None,
            }],
            settings_version: Some(7),
            etcd: EtcdView {
                version: "3.4.23".to_owned(),
                file_bytes: 69_632,
                used_bytes: 57_344,
                has_leader: true,
                full: false,
            },
            troubles: Vec::new(),
        }
    }
}

impl From<Standing> for ClusterView {
    fn from(standing: Standing) -> Self {
        let Standing { cluster, revision, nodes, shards, settings_version, etcd, troubles } =
            standing;
        Self {
            identity: cluster.identity,
            revision,
            nodes: nodes.into_iter().map(NodeView::from).collect(),
            shards: shards.into_iter().map(ShardView::from).collect(),
            settings_version,
            etcd: EtcdView {
                version: etcd.version,
                file_bytes: etcd.file_bytes,
                used_bytes: etcd.used_bytes,
                has_leader: etcd.has_leader,
                full: etcd.is_full,
            },
            troubles,
        }
    }
}

impl From<NodeStanding> for NodeView {
    fn from(node: NodeStanding) -> Self {
        Self {
            name: node.name,
            incarnation: format!("{:016x}", node.incarnation),
            http_address: node.http_address,
            version: node.version,
            shards: node.shards,
            draining: node.is_draining,
            settings_version: node.settings_version,
        }
    }
}

impl From<ShardStanding> for ShardView {
    fn from(found: ShardStanding) -> Self {
        Self {
            shard: found.shard.0,
            owner: found.owner,
            epoch: found.epoch,
            last_record: found.last_record,
            trimmed_record: found.trimmed_record,
            batches: found.batches,
            moves_to: found.moves_to,
        }
    }
}

/// Shows the cluster.
///
/// Its nodes, its shards with their owners and logs, and how etcd is, as `seckill cluster status` has it. A
/// shop that is no cluster has none.
#[utoipa::path(
    get, path = "/api/v1/admin/cluster", tag = "operators",
    responses((status = 200, description = "The cluster as it is", body = ClusterView,
        example = json!(ClusterView::example()))),
    security(("token" = []))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
) -> Result<Json<ClusterView>, Problem> {
    Ok(Json(steering(&edge)?.standing().await?.into()))
}

/// Drains a node.
///
/// It gives its shards to the others, one by one, and takes none until that is taken back. For admins.
#[utoipa::path(
    post, path = "/api/v1/admin/cluster/nodes/{node}/drain", tag = "operators",
    params(("node" = String, Path, description = "The node's name", example = "shop-1")),
    responses((status = 202, description = "The nodes do it")),
    security(("token" = []))
)]
pub async fn drain(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    Segment(node): Segment,
) -> Result<StatusCode, Problem> {
    steering(&edge)?.drain(&node, &operator.name).await?;
    note(&edge, &operator, "cluster.drain", &format!("node:{node}"), json!({})).await
}

/// Ends the drain of a node.
///
/// It takes shards that are free, and nothing back. For admins.
#[utoipa::path(
    post, path = "/api/v1/admin/cluster/nodes/{node}/undrain", tag = "operators",
    params(("node" = String, Path, description = "The node's name", example = "shop-1")),
    responses((status = 202, description = "The nodes do it")),
    security(("token" = []))
)]
pub async fn undrain(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    Segment(node): Segment,
) -> Result<StatusCode, Problem> {
    steering(&edge)?.undrain(&node).await?;
    note(&edge, &operator, "cluster.undrain", &format!("node:{node}"), json!({})).await
}

/// Moves a shard to a node.
///
/// Also in the midst of a sale, which pauses for a moment. For admins.
#[utoipa::path(
    post, path = "/api/v1/admin/cluster/shards/{shard}/move", tag = "operators",
    params(("shard" = u16, Path, description = "The shard's number", example = 3)),
    request_body(content = MoveRequest, example = json!({ "to": "shop-2" })),
    responses((status = 202, description = "The nodes do it")),
    security(("token" = []))
)]
pub async fn move_shard(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    Segment(shard): Segment,
    JsonObject(body): JsonObject,
) -> Result<StatusCode, Problem> {
    // It is required.
    let to = MoveRequest::parse(body)?.to.unwrap_or_default();
    let steering = steering(&edge)?;
    let number = shard.parse().map_err(|_| Problem::new(Code::NotFound, "no such shard"))?;
    steering.move_shard(number, &to, &operator.name).await?;
    note(&edge, &operator, "cluster.move", &format!("shard:{number}"), json!({ "to": to })).await
}

/// Spreads the shards over the nodes.
///
/// As if all began anew. Shards with a sale that is on stay where they are, unless they are to move, too. For
/// admins.
#[utoipa::path(
    post, path = "/api/v1/admin/cluster/rebalance", tag = "operators",
    request_body(content = RebalanceRequest, example = json!({ "with_sales": false })),
    responses((status = 202, description = "The nodes do it", body = RebalanceView,
        example = json!(RebalanceView { moves: vec![MoveView { shard: 3, to: "shop-2".to_owned() }] }))),
    security(("token" = []))
)]
pub async fn rebalance(
    State(edge): State<Arc<Edge>>,
    Admin(operator): Admin,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<RebalanceView>), Problem> {
    let with_sales = RebalanceRequest::parse(body)?.with_sales.unwrap_or(false);
    let moves = steering(&edge)?.rebalance(with_sales, &operator.name).await?.moves;
    let moves = moves.into_iter().map(|(shard, to)| MoveView { shard: shard.0, to });
    let view = RebalanceView { moves: moves.collect() };
    let detail = json!({ "with_sales": with_sales, "shards": view.moves.len() });
    let status = note(&edge, &operator, "cluster.rebalance", "cluster", detail).await?;
    Ok((status, Json(view)))
}

fn steering(edge: &Edge) -> Result<&Steering, Problem> {
    edge.engine
        .steering()
        .ok_or_else(|| Problem::new(Code::NotFound, "this shop is served by one process alone"))
}

/// Notes in the operators' log what was wished.
async fn note(
    edge: &Edge,
    operator: &Operator,
    action: &str,
    subject: &str,
    detail: Value,
) -> Result<StatusCode, Problem> {
    let now = edge.engine.now();
    edge.sales.note_cluster(action, subject, detail, &operator.name, now).await?;
    Ok(StatusCode::ACCEPTED)
}

impl From<SteeringError> for Problem {
    fn from(error: SteeringError) -> Self {
        let code = match &error {
            SteeringError::Registry(_) | SteeringError::Look(_) | SteeringError::NoCluster(_) => {
                Code::LogUnavailable
            }
            SteeringError::NoNode { .. } | SteeringError::NoShard { .. } => Code::NotFound,
            SteeringError::LastNode(_) | SteeringError::Draining(_) => Code::StateConflict,
        };
        Self::new(code, error.to_string())
    }
}
