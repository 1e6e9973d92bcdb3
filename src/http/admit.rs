//! Lets people in, or does not, as lists, limits and risk rules say. Who is not admitted hears that, and no
//! reason.
//!
//! Every way to buy asks here twice: for the address before anybody is authenticated, and for the buyer
//! after. Must not know what a rule or a limit looks at.

use super::limits::Standing;
use super::problem::{Code, Problem};
use super::risk::{Moment, Person};
use super::state::Edge;
use domain::risk::{Action, Lists};
use domain::{Address, UserId};

/// Lets a purchase in from this address. Returns how the address stands if it has little left.
///
/// # Errors
/// Returns a `not_admitted` problem if the address is denied, and a `rate_limited` one if it asks too often.
pub fn purchase_from(edge: &Edge, address: Address) -> Result<Option<Standing>, Problem> {
    check_lists(edge, Person { user_id: None, address })?;
    Ok(edge.limits.purchase_from(address, edge.clock.elapsed())?)
}

/// Lets a purchase in of this buyer. Returns how the buyer stands if little is left.
///
/// # Errors
/// Returns a `not_admitted` problem if the buyer is denied, and a `rate_limited` one if it asks too often.
pub fn purchase_of(
    edge: &Edge,
    user_id: UserId,
    address: Address,
) -> Result<Option<Standing>, Problem> {
    check_lists(edge, Person { user_id: Some(user_id), address })?;
    Ok(edge.limits.purchase_of_user(user_id, edge.clock.elapsed())?)
}

/// Lets a purchase in unless its address, or its user if that is known, is denied.
///
/// # Errors
/// Returns a `not_admitted` problem if it is.
#[inline]
pub fn check_lists(edge: &Edge, person: Person) -> Result<(), Problem> {
    let lists = edge.settings.lists();
    let is_listed = match person.user_id {
        Some(user_id) => lists.denies_user(user_id),
        None => lists.denies_address(person.address),
    };
    if is_listed { judge_at(edge, &lists, Moment::Purchase, person).map(drop) } else { Ok(()) }
}

/// Lets a person in, or does not: for all that is dearer than a purchase. Returns what else follows.
///
/// # Errors
/// Returns a `not_admitted` problem if a rule denies it.
pub fn admit(edge: &Edge, moment: Moment, person: Person) -> Result<Action, Problem> {
    judge_at(edge, &edge.settings.lists(), moment, person)
}

fn judge_at(edge: &Edge, lists: &Lists, moment: Moment, person: Person) -> Result<Action, Problem> {
    let now = (edge.clock.elapsed(), edge.clock.now());
    match edge.risk.judge(lists, moment, person, now).action {
        Action::Deny => {
            Err(Problem::new(Code::NotAdmitted, "nothing was done: you are not admitted"))
        }
        action => Ok(action),
    }
}
