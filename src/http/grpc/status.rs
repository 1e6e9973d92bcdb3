//! A problem as gRPC tells it: a status whose details have the problem's code.
//!
//! Must not know which refusal leads to which problem.

use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use crate::http::timestamp;
use hyper::HeaderMap;
use hyper::StatusCode;
use std::collections::HashMap;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The header with the code of a call that was refused.
pub const STATUS: &str = "grpc-status";
/// Bytes of a message that a client may send.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Whose codes they are.
const DOMAIN: &str = "seckill";

/// Tells what became of a call, and counts the problem if it was one.
///
/// # Errors
/// Returns the problem as a status.
pub fn tell<T>(edge: &Edge, outcome: Result<T, Problem>) -> Result<Response<T>, Status> {
    match outcome {
        Ok(message) => Ok(Response::new(message)),
        Err(problem) => {
            edge.metrics.problem(problem.code);
            Err(of(&problem))
        }
    }
}

/// Returns the status of a problem.
pub fn of(problem: &Problem) -> Status {
    with_code(code_of(problem.code), problem)
}

/// Returns what is wrong with a call whose message could not be read, as the head of its answer tells. tonic calls that
/// `INTERNAL` or `OUT_OF_RANGE`; the shop's own refusals have details.
pub fn unreadable(answer: &HeaderMap) -> Option<Problem> {
    if answer.contains_key("grpc-status-details-bin") {
        return None;
    }
    let code = tonic::Code::from_bytes(answer.get(STATUS)?.as_bytes());
    match code {
        tonic::Code::Internal => Some(Problem::new(Code::BadRequest, "the message cannot be read")),
        tonic::Code::OutOfRange => {
            let detail = format!("a message may have {MESSAGE_BYTES_MAX} bytes");
            Some(Problem::new(Code::BodyTooLarge, detail))
        }
        _ => None,
    }
}

/// Returns the status of a call that took too long, with what that means.
pub fn deadline_exceeded(problem: &Problem) -> Status {
    with_code(tonic::Code::DeadlineExceeded, problem)
}

fn with_code(code: tonic::Code, problem: &Problem) -> Status {
    let mut about = HashMap::new();
    for (name, time) in [("starts_at", problem.starts_at), ("opens_at", problem.opens_at)] {
        if let Some(time) = time {
            about.insert(name.to_owned(), timestamp::to_string(time));
        }
    }
    let mut details = ErrorDetails::with_error_info(problem.code.name(), DOMAIN, about);
    if let Some(seconds) = problem.retry_after_seconds() {
        details.set_retry_info(Some(Duration::from_secs(seconds.into())));
    }
    for error in &problem.errors.shown {
        let field = error.pointer.trim_start_matches('/').replace('/', ".");
        details.add_bad_request_violation(field, error.detail.as_ref());
    }
    let mut headers = HeaderMap::new();
    if let Some(standing) = &problem.standing {
        standing.tell(&mut headers);
    }
    let metadata = MetadataMap::from_headers(headers);
    Status::with_error_details_and_metadata(code, problem.detail.as_ref(), details, metadata)
}

/// Returns what gRPC calls a code of the API.
fn code_of(code: Code) -> tonic::Code {
    match code {
        Code::IdempotencyKeyReused | Code::UserNameTaken => return tonic::Code::AlreadyExists,
        Code::OutcomeUnknown => return tonic::Code::Unknown,
        _ => {}
    }
    match code.status() {
        StatusCode::UNAUTHORIZED => tonic::Code::Unauthenticated,
        StatusCode::FORBIDDEN => tonic::Code::PermissionDenied,
        StatusCode::NOT_FOUND => tonic::Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => tonic::Code::Unimplemented,
        StatusCode::REQUEST_TIMEOUT => tonic::Code::DeadlineExceeded,
        StatusCode::PAYMENT_REQUIRED | StatusCode::CONFLICT | StatusCode::PRECONDITION_REQUIRED => {
            tonic::Code::FailedPrecondition
        }
        StatusCode::PRECONDITION_FAILED => tonic::Code::Aborted,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            tonic::Code::ResourceExhausted
        }
        StatusCode::SERVICE_UNAVAILABLE => tonic::Code::Unavailable,
        _ => tonic::Code::InvalidArgument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    #[test]
    fn every_code_is_told_with_its_name() {
        for code in Code::ALL {
            let status = of(&Problem::new(*code, "why"));
            let info = status.get_details_error_info().expect("it is always there");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (code.name(), "seckill"));
            assert_eq!(status.message(), "why");
            let is_retried = status.get_details_retry_info().is_some();
            assert_eq!(is_retried, code.retry_after_seconds().is_some(), "{code:?}");
        }
    }

    #[test]
    fn codes_are_those_that_clients_of_grpc_act_on() {
        use tonic::Code as Grpc;
        for (code, expected) in [
            (Code::MalformedJson, Grpc::InvalidArgument),
            (Code::InvalidField, Grpc::InvalidArgument),
            (Code::BodyTooLarge, Grpc::InvalidArgument),
            (Code::Unauthenticated, Grpc::Unauthenticated),
            (Code::Forbidden, Grpc::PermissionDenied),
            (Code::BuyTokenRequired, Grpc::PermissionDenied),
            (Code::ItemNotFound, Grpc::NotFound),
            (Code::PaymentFailed, Grpc::FailedPrecondition),
            (Code::SoldOut, Grpc::FailedPrecondition),
            (Code::IdempotencyKeyReused, Grpc::AlreadyExists),
            (Code::UserNameTaken, Grpc::AlreadyExists),
            (Code::RevisionConflict, Grpc::Aborted),
            (Code::RateLimited, Grpc::ResourceExhausted),
            (Code::TooManyEventStreams, Grpc::ResourceExhausted),
            (Code::Overloaded, Grpc::Unavailable),
            (Code::ShuttingDown, Grpc::Unavailable),
            (Code::OutcomeUnknown, Grpc::Unknown),
        ] {
            assert_eq!(code_of(code), expected, "{code:?}");
        }
    }

    #[test]
    fn what_a_problem_says_is_in_the_details() {
        let problem = Problem {
            starts_at: Some(Timestamp(0)),
            ..Problem::field("/items/0/price", "must be a number")
        };
        let details = of(&problem).get_error_details();
        let violation = &details.bad_request().expect("a field").field_violations[0];
        assert_eq!(violation.field, "items.0.price");
        let about = &details.error_info().expect("it is always there").metadata;
        assert_eq!(about["starts_at"], "1970-01-01T00:00:00.000Z");
        let late = deadline_exceeded(&Problem::outcome_unknown());
        assert_eq!(late.code(), tonic::Code::DeadlineExceeded);
        let info = late.get_details_error_info().expect("it is always there");
        assert_eq!(info.reason, "outcome_unknown");
    }
}
