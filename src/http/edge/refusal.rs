//! Refusals that never reach the service: of a connection, and of what hyper cannot read.
//!
//! They are whole HTTP/1.1 answers with the body of a problem.

use super::request_id::{RequestName, X_REQUEST_ID};
use crate::http::options::Options;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use bytes::Bytes;
use std::io::Write as _;

/// Returns the answer to a connection that is refused. Nothing was read from it, so the answer's
/// identity is made here.
pub fn of_connection(edge: &Edge, detail: &'static str) -> Bytes {
    render(edge, &Problem::new(Code::Overloaded, detail))
}

/// Returns the answer in place of the one that hyper makes of what is not HTTP to it.
pub fn instead_of_hypers(edge: &Edge, status: u16) -> Bytes {
    let problem = match status {
        414 | 431 => {
            let Options { header_bytes_max, headers_max, .. } = edge.options;
            let detail = format!(
                "the head of a request may have {header_bytes_max} bytes and {headers_max} headers"
            );
            Problem::new(Code::HeadersTooLarge, detail)
        }
        _ => Problem::new(Code::BadRequest, "the request line or a header is not valid HTTP"),
    };
    edge.metrics.problem(problem.code);
    render(edge, &problem)
}

fn render(edge: &Edge, problem: &Problem) -> Bytes {
    let name = RequestName::made(edge.unique_number());
    let mut body = Vec::with_capacity(384);
    problem.render(name.as_str(), &mut body);
    let status = problem.code.status();
    let mut answer = Vec::with_capacity(640);
    // Writing to a vector cannot fail.
    let _ = write!(
        answer,
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         {X_REQUEST_ID}: {}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n",
        body.len(),
        name.as_str(),
    );
    if let Some(seconds) = problem.retry_after_seconds() {
        let _ = write!(answer, "retry-after: {seconds}\r\n");
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&body);
    answer.into()
}

/// Finds an answer that hyper made by itself at the end of `bytes`, and returns what is before it, with
/// its status.
pub fn split_off_hypers(bytes: &[u8]) -> Option<(&[u8], u16)> {
    /// Its head has a length, a date and `connection`, and nothing else.
    const LENGTH_MAX: usize = 192;
    const BEGIN: &[u8] = b"HTTP/1.1 4";
    // Nearly every answer has a body, and ends otherwise.
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = bytes.len().saturating_sub(LENGTH_MAX);
    let place = from + bytes[from..].windows(BEGIN.len()).rposition(|window| window == BEGIN)?;
    let (ours, head) = bytes.split_at(place);
    let head = std::str::from_utf8(head).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let names = head.trim_end().lines().skip(1).map(|line| line.split(':').next());
    let is_hypers = names.flatten().all(|name| {
        ["connection", "content-length", "date"].iter().any(|own| name.eq_ignore_ascii_case(own))
    });
    (is_hypers && matches!(status, 400 | 414 | 431)).then_some((ours, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_hyper_are_told_from_ours() {
        let own = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                   date: Fri, 27 Nov 2026 13:00:00 GMT\r\n\r\n";
        let ours = "HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n";
        for (text, expected) in [
            (own.to_owned(), Some(("", 400))),
            (own.replace("400", "431"), Some(("", 431))),
            (format!("HTTP/1.1 200 OK\r\n\r\nok{own}"), Some(("HTTP/1.1 200 OK\r\n\r\nok", 400))),
            (own.replace("400", "404"), None),
            (format!("{own}{{}}"), None),
            (ours.to_owned(), None),
            (ours.replace("404", "400"), None),
        ] {
            let found = split_off_hypers(text.as_bytes());
            let found =
                found.map(|(before, status)| (std::str::from_utf8(before).unwrap(), status));
            assert_eq!(found, expected, "{text}");
        }
    }
}
