//! Dead letters: what the order store could not take, to look at and to send again.

use crate::http::auth::bearer::Operator;
use crate::http::problem::{Code, Problem};
use crate::http::request::path::Segment;
use crate::http::state::Edge;
use crate::sales::{DeadLetter, dead_letter_subject};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The most dead letters that are shown, or sent again by one request.
pub const SHOWN_MAX: usize = 100;

/// Some dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetterList {
    /// The dead letters, at most a hundred.
    pub data: Vec<DeadLetterView>,
    /// Whether there may be more than are shown.
    pub has_more: bool,
}

/// A dead letter: a message that contradicts what is stored, or cannot be read.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetterView {
    /// The message's identity.
    pub message_id: String,
    /// Why it was set aside.
    pub reason: String,
    /// Its length in bytes.
    pub bytes: usize,
    /// Why it cannot be read, if it cannot.
    pub malformed: Option<String>,
    /// The records in it.
    pub records: Vec<DeadRecord>,
}

/// A record in a dead letter.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadRecord {
    /// The shard whose record it is.
    pub shard: u16,
    /// The record's number in the shard's log.
    pub seq: u64,
    /// What it is about, in words.
    pub about: String,
}

/// How many dead letters were sent again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// How many were sent again.
    pub replayed: usize,
}

impl DeadLetterView {
    fn example() -> Self {
        Self {
            message_id: "2-17".to_owned(),
            reason: "this version of the order is stored as paid".to_owned(),
            bytes: 96,
            malformed: None,
            records: vec![DeadRecord {
                shard: 2,
                seq: 17,
                about: "order 908143992242188288 expired".to_owned(),
            }],
        }
    }
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        let (records, malformed) = match letter.records {
            Ok(records) => (records, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let records = records.iter().map(|record| DeadRecord {
            shard: record.shard.0,
            seq: record.seq,
            about: dead_letter_subject(&record.event),
        });
        Self {
            message_id: letter.message_id,
            reason: letter.reason,
            bytes: letter.length,
            malformed,
            records: records.collect(),
        }
    }
}

/// Lists dead letters.
///
/// What the order store could not take, in the broker's queue or in the order store itself. They stay
/// where they are.
#[utoipa::path(
    get, path = "/api/v1/admin/dead-letters", tag = "operators",
    responses((status = 200, description = "At most a hundred of them", body = DeadLetterList,
        links(("letter" = (operation_id = "get_admin_dead_letters_letter",
            parameters(("letter" = "$response.body#/data/0/message_id")),
            description = "Shows the first of these."))),
        example = json!(DeadLetterList {
            data: vec![DeadLetterView::example()], has_more: false,
        }))),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
) -> Result<Json<DeadLetterList>, Problem> {
    let (letters, has_more) = shown(&edge).await?;
    let data = letters.into_iter().map(DeadLetterView::from).collect();
    Ok(Json(DeadLetterList { data, has_more }))
}

/// Returns the dead letters that are shown, and whether there may be more.
///
/// # Errors
/// Returns a `records_unavailable` problem if broker or order store do not answer.
pub async fn shown(edge: &Edge) -> Result<(Vec<DeadLetter>, bool), Problem> {
    let mut letters = edge.sales.dead_letters(SHOWN_MAX + 1).await?;
    let has_more = letters.len() > SHOWN_MAX;
    letters.truncate(SHOWN_MAX);
    Ok((letters, has_more))
}

/// Shows a dead letter.
///
/// One of those that the list shows, by its identity.
#[utoipa::path(
    get, path = "/api/v1/admin/dead-letters/{letter}", tag = "operators",
    params(("letter" = String, Path, description = "The message's identity", example = "2-17")),
    responses((status = 200, description = "The dead letter", body = DeadLetterView,
        links(("replay" = (operation_id = "post_admin_dead_letters_replay"))),
        example = json!(DeadLetterView::example()))),
    security(("token" = []))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    _operator: Operator,
    Segment(message_id): Segment,
) -> Result<Json<DeadLetterView>, Problem> {
    let (letters, _) = shown(&edge).await?;
    let letter = letters.into_iter().find(|letter| letter.message_id == message_id);
    let letter = letter.ok_or_else(|| {
        Problem::new(Code::NotFound, "no dead letter that the list shows has this identity")
    })?;
    Ok(Json(letter.into()))
}

/// Sends dead letters again.
///
/// To the order store, at most a hundred of them. What it still cannot take comes back as a dead letter,
/// with its present reason.
#[utoipa::path(
    post, path = "/api/v1/admin/dead-letters/replay", tag = "operators",
    responses((status = 200, description = "How many were sent", body = Replayed,
        links(("letters" = (operation_id = "get_admin_dead_letters"))),
        example = json!(Replayed { replayed: 1 }))),
    security(("token" = []))
)]
pub async fn replay(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
) -> Result<Json<Replayed>, Problem> {
    let now = edge.engine.now();
    let replayed = edge.sales.replay_dead_letters(SHOWN_MAX, &operator.name, now).await?;
    Ok(Json(Replayed { replayed }))
}
