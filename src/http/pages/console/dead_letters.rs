//! Dead letters: what the order store could not take, and the button that sends it again.

use super::shell::{ConsoleShell, Section};
use super::visit::Visit;
use crate::http::admin::dead_letters::{DeadLetterView, DeadRecord, SHOWN_MAX, shown};
use crate::http::pages::form::Form;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::OperatorRole;
use hyper::StatusCode;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "console/dead_letters.html")]
struct DeadLetters {
    shell: ConsoleShell,
    /// None if broker or order store do not answer.
    letters: Option<Vec<DeadLetterView>>,
    has_more: bool,
}

impl DeadLetters {
    /// Where in the journal a record is, in words.
    fn place(&self, record: &DeadRecord) -> String {
        self.shell.words.dead_letter_record(u64::from(record.shard), record.seq)
    }
}

/// Shows the first of them.
pub async fn show(State(edge): State<Arc<Edge>>, visit: Visit) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let (letters, has_more) = match shown(&edge).await {
        Ok((letters, has_more)) => (Some(letters), has_more),
        Err(problem) if problem.code == Code::RecordsUnavailable => (None, false),
        Err(problem) => return Err(problem),
    };
    let letters = letters.map(|letters| letters.into_iter().map(DeadLetterView::from).collect());
    let shell = visit.frame(&edge, visit.words.console_dead_letters(), Section::DeadLetters);
    visit.page(&edge, StatusCode::OK, &DeadLetters { shell, letters, has_more })
}

/// Sends them to the order store again.
pub async fn replay(
    State(edge): State<Arc<Edge>>,
    visit: Visit,
    _entered: Form,
) -> Result<Response, Problem> {
    visit.user.require(OperatorRole::Operator)?;
    let now = edge.engine.now();
    edge.sales.replay_dead_letters(SHOWN_MAX, &visit.user.name, now).await?;
    Ok(visit.lead_to(&edge, "/console/dead-letters", Some("replayed")))
}
