//! The lists of those whom risk rules deny or allow, and what the rules have found.

use crate::actors::{ENTRIES_MAX, ENTRY_NOTE_LENGTH_MAX, ListedEntry, NewEntry};
use crate::http::api::example;
use crate::http::auth::bearer::{Operator, Reader};
use crate::http::problem::{FieldError, FieldErrors, Problem};
use crate::http::request::extract::{JsonObject, Parameters};
use crate::http::request::fields::{Body, body};
use crate::http::request::page::PageQuery;
use crate::http::request::path::Segment;
use crate::http::request::rules::{Identity, Instant, List, Text};
use crate::http::risk::Match;
use crate::http::state::Edge;
use crate::http::timestamp;
use axum::Json;
use axum::extract::State;
use domain::risk::{EntryKind, NotAnEntry};
use domain::{Network, Timestamp};
use hyper::StatusCode;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use utoipa::ToSchema;

const VAST: &str = "is more than any one network has: at most a /8 of IPv4 or a /16 of IPv6";

/// The longest name of a list, and the longest network.
const VALUE_LENGTH_MAX: usize = 64;

body! {
    /// Entries for the lists.
    pub struct EntriesRequest {
        /// The entries: 1 to 5,000.
        Required entries: List<EntryRequest, 1, ENTRIES_MAX>,
    }
}

body! {
    /// An entry for a list.
    pub struct EntryRequest {
        /// The list: `deny_user`, `deny_address` or `allow_address`.
        Required list: Text<VALUE_LENGTH_MAX>,
        /// A user's identity, or an address or network such as `192.0.2.0/24`.
        Required value: Text<VALUE_LENGTH_MAX>,
        /// Why, for people: at most 200 characters.
        Nullable note: Text<ENTRY_NOTE_LENGTH_MAX>,
        /// When it ends by itself.
        Nullable expires_at: Instant,
    }
}

/// A page of the entries.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntriesPage {
    /// The entries, newest first.
    pub data: Vec<EntryView>,
    /// Whether there are older ones: ask for them with `starting_after` the last one of this page.
    pub has_more: bool,
}

/// Entries that were added.
#[derive(Debug, Serialize, ToSchema)]
pub struct AddedEntries {
    /// Their identities, in the order in which they were sent.
    #[schema(value_type = Vec<Identity>)]
    pub entry_ids: Vec<String>,
}

/// An entry of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    /// The entry's identity.
    #[schema(value_type = Identity)]
    pub entry_id: String,
    /// The list's name.
    pub list: String,
    /// The user or the network.
    pub value: String,
    /// Why it is there.
    pub note: String,
    /// When it ends by itself, if it does.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// Whether it has ended by itself, and counts for nothing any more.
    pub has_ended: bool,
    /// Who made it.
    pub actor: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub at: String,
}

/// What the rules have found last.
#[derive(Debug, Serialize, ToSchema)]
pub struct MatchesView {
    /// At most 1,000 of them, newest first, since this process started.
    pub data: Vec<MatchView>,
}

/// What a rule has found.
#[derive(Debug, Serialize, ToSchema)]
pub struct MatchView {
    /// When it was found.
    #[schema(format = DateTime)]
    pub at: String,
    /// The rule's name.
    pub rule: String,
    /// `shadow`, in which case nothing followed, or `enforce`.
    pub mode: String,
    /// What follows if it is enforced: `observe`, `harder`, `last` or `deny`.
    pub action: String,
    /// At what: `purchase`, `challenge`, `token`, `log_in` or `registration`.
    pub moment: String,
    /// The user, if that was known: a purchase from a denied address is refused before anybody is asked who
    /// they are.
    #[schema(value_type = Option<Identity>)]
    pub user_id: Option<String>,
    /// The client's address.
    pub address: String,
}

impl EntryView {
    fn example() -> Self {
        Self {
            entry_id: "12".to_owned(),
            list: EntryKind::LISTS[1].to_owned(),
            value: "192.0.2.0/24".to_owned(),
            note: "a thousand accounts an hour".to_owned(),
            expires_at: Some(example::APPROVED_AT.to_owned()),
            has_ended: false,
            actor: example::APPROVER.to_owned(),
            at: example::APPROVED_AT.to_owned(),
        }
    }
}

impl MatchView {
    fn example() -> Self {
        Self {
            at: example::APPROVED_AT.to_owned(),
            rule: "accounts_per_address".to_owned(),
            mode: "shadow".to_owned(),
            action: "harder".to_owned(),
            moment: "token".to_owned(),
            user_id: Some(example::USER_ID.to_owned()),
            address: "192.0.2.7".to_owned(),
        }
    }
}

/// Lists the entries.
///
/// Those who are denied and those who are allowed, newest first, a page at a time.
#[utoipa::path(
    get, path = "/api/v1/admin/risk/entries", tag = "operators",
    params(PageQuery),
    responses((status = 200, description = "A page of entries", body = EntriesPage,
        example = json!(EntriesPage { data: vec![EntryView::example()], has_more: false }))),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _reader: Reader,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<EntriesPage>, Problem> {
    let (limit, before) = query.read::<u64>()?;
    let mut entries = edge.settings.entries(before, limit + 1).await?;
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let now = edge.engine.now();
    let data = entries.into_iter().map(|listed| view(listed, now)).collect();
    Ok(Json(EntriesPage { data, has_more }))
}

/// Adds entries.
///
/// They hold at once here, and on other nodes within a second. An entry for what stands on that list already
/// takes its place.
#[utoipa::path(
    post, path = "/api/v1/admin/risk/entries", tag = "operators",
    request_body(content = EntriesRequest, content_type = "application/json", example = json!({
        "entries": [{
            "list": "deny_address", "value": "192.0.2.0/24",
            "note": "a thousand accounts an hour", "expires_at": example::APPROVED_AT,
        }],
    })),
    responses((status = 201, description = "The entries' identities", body = AddedEntries,
        example = json!(AddedEntries { entry_ids: vec!["12".to_owned()] }))),
    security(("token" = []))
)]
pub async fn add(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<AddedEntries>), Problem> {
    let now = edge.engine.now();
    let mut errors = FieldErrors::default();
    let body = EntriesRequest::read(body, "", &mut errors);
    let mut kinds = HashSet::new();
    let mut entries = Vec::new();
    for (place, entry) in body.entries.unwrap_or_default().into_iter().enumerate() {
        let pointer = format!("/entries/{place}");
        let Some(entry) = read(entry, &pointer, now, &mut errors) else { continue };
        if !kinds.insert(entry.kind) {
            errors.push(FieldError::new(format!("{pointer}/value"), "stands here twice"));
        }
        entries.push(entry);
    }
    let entries = errors.or(entries)?;
    let added = edge.settings.add_entries(&entries, &operator.name, now).await?;
    let entry_ids = added.iter().map(u64::to_string).collect();
    Ok((StatusCode::CREATED, Json(AddedEntries { entry_ids })))
}

/// Removes an entry.
///
/// It holds no more, here at once and on other nodes within a second.
#[utoipa::path(
    delete, path = "/api/v1/admin/risk/entries/{entry}", tag = "operators",
    params(("entry" = String, Path, description = "The entry's identity", example = "12")),
    responses((status = 204, description = "It is removed")),
    security(("token" = []))
)]
pub async fn remove(
    State(edge): State<Arc<Edge>>,
    operator: Operator,
    Segment(entry): Segment,
) -> Result<StatusCode, Problem> {
    let entry_id = entry.parse().map_err(|_| Problem::not_found())?;
    edge.settings.remove_entry(entry_id, &operator.name, edge.engine.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows what the rules have found.
///
/// The last 1,000 matches of this process, those in shadow included.
#[utoipa::path(
    get, path = "/api/v1/admin/risk/matches", tag = "operators",
    responses((status = 200, description = "What was found", body = MatchesView,
        example = json!(MatchesView { data: vec![MatchView::example()] }))),
    security(("token" = []))
)]
pub async fn matches(State(edge): State<Arc<Edge>>, _reader: Reader) -> Json<MatchesView> {
    let data =
        edge.risk.matches().into_iter().map(|Match { at, rule, mode, action, moment, person }| {
            MatchView {
                at: timestamp::to_string(at),
                rule: rule.name().to_owned(),
                mode: mode.name().to_owned(),
                action: action.name().to_owned(),
                moment: moment.name().to_owned(),
                user_id: person.user_id.map(|user_id| user_id.to_string()),
                address: person.address.to_string(),
            }
        });
    Json(MatchesView { data: data.collect() })
}

/// Reads an entry that is made at `now` and stands at `pointer` of the body, and adds what is wrong to
/// `errors`.
pub fn read(
    entry: Value,
    pointer: &str,
    now: Timestamp,
    errors: &mut FieldErrors,
) -> Option<NewEntry> {
    let Value::Object(object) = entry else {
        errors.push(FieldError::new(pointer, "must be an object"));
        return None;
    };
    let mut kind = None;
    let mut has_ended = false;
    let entry = EntryRequest::read_with(object, pointer, errors, |entry, fields| {
        has_ended = entry.expires_at.is_some_and(|at| at <= now);
        if has_ended {
            fields.note("expires_at", "must be in the future");
        }
        let (Some(list), Some(value)) = (&entry.list, &entry.value) else { return };
        match EntryKind::read(list, value) {
            Ok(read) if read.network().is_some_and(Network::is_vast) => fields.note("value", VAST),
            Ok(read) => kind = Some(read),
            Err(error @ NotAnEntry::List) => fields.note("list", error.to_string()),
            Err(error @ NotAnEntry::Value(_)) => fields.note("value", error.to_string()),
        }
    });
    let (note, expires_at) = (entry.note.unwrap_or_default(), entry.expires_at);
    Some(NewEntry { kind: kind.filter(|_| !has_ended)?, note, expires_at })
}

fn view(listed: ListedEntry, now: Timestamp) -> EntryView {
    let ListedEntry { entry_id, entry, actor, at, .. } = listed;
    let has_ended = entry.has_ended(now);
    EntryView {
        entry_id: entry_id.to_string(),
        list: entry.kind.list().to_owned(),
        value: entry.kind.value(),
        note: entry.note,
        expires_at: entry.expires_at.map(timestamp::to_string),
        has_ended,
        actor,
        at: timestamp::to_string(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_mistake_of_each_entry_is_told() {
        let mut errors = FieldErrors::default();
        for (place, entry) in [
            json!({ "list": "deny_user", "value": "7" }),
            json!({ "list": "deny_user", "value": "ann", "note": null }),
            json!({ "list": "deny", "value": "7" }),
            json!({ "list": "deny_address", "value": "192.0.2.1/24", "expires_at": "soon", "x": 1 }),
            json!(7),
            json!({ "list": "deny_user", "value": "8", "expires_at": "2026-11-11T00:00:00Z" }),
            json!({ "list": "allow_address", "value": "0.0.0.0/0" }),
        ]
        .into_iter()
        .enumerate()
        {
            let now = Timestamp(1_800_000_000_000);
            let read = read(entry, &format!("/entries/{place}"), now, &mut errors);
            let expected = NewEntry {
                kind: EntryKind::DenyUser(domain::UserId(7)),
                note: String::new(),
                expires_at: None::<Timestamp>,
            };
            assert_eq!(read, (place == 0).then_some(expected));
        }
        let mut found: Vec<&str> =
            errors.shown.iter().map(|error| error.pointer.as_str()).collect();
        found.sort_unstable();
        let expected = [
            "/entries/1/value",
            "/entries/2/list",
            "/entries/3/expires_at",
            "/entries/3/value",
            "/entries/3/x",
            "/entries/4",
            "/entries/5/expires_at",
            "/entries/6/value",
        ];
        assert_eq!(found, expected);
    }
}
