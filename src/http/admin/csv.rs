//! What files of rows have in common: how a field is written, and how a file is sent piece by piece.
//!
//! What people wrote stands in quotes and is no formula to a spreadsheet. Must not know what the rows are.

use crate::http::options::EXPORTS_MAX;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use std::fmt::{Display, Write as _};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// By which Excel knows that a file is UTF-8.
pub const BYTE_ORDER_MARK: &str = "\u{FEFF}";

/// Returns a place among the exports that may run at the same time, held for as long as one runs.
///
/// # Errors
/// Returns an `overloaded` problem if as many run as may.
pub fn place(edge: &Edge) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&edge.exports).try_acquire_owned().map_err(|_| {
        Problem::new(Code::Overloaded, format!("{EXPORTS_MAX} exports are running: try again"))
    })
}

/// Answers with a file called `name`, of these pieces. One that is an error breaks the connection off.
pub fn file<S>(name: &str, pieces: S) -> Response
where
    S: Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
{
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// Appends an identity and a comma.
pub fn push_identity(number: &dyn Display, for_excel: bool, text: &mut String) {
    // Writing to a string cannot fail. A formula whose value is a text is the one way to keep Excel
    // from rounding eighteen digits.
    let _ =
        if for_excel { write!(text, "\"=\"\"{number}\"\"\",") } else { write!(text, "{number},") };
}

/// Appends what somebody wrote: in quotes, and with an apostrophe before what a spreadsheet would take for
/// the beginning of a formula, in its wide forms as well.
pub fn push_text(written: &str, text: &mut String) {
    const BEGINNINGS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    text.push('"');
    if written.starts_with(BEGINNINGS) {
        text.push('\'');
    }
    for character in written.chars() {
        if character == '"' {
            text.push('"');
        }
        text.push(character);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_no_formula() {
        for (written, expected) in [
            ("Pear", "\"Pear\""),
            ("", "\"\""),
            ("a,b \"c\"", "\"a,b \"\"c\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\tx", "\"'\tx\""),
            ("\rx", "\"'\rx\""),
            ("\nx", "\"'\nx\""),
            ("＝1", "\"'＝1\""),
            ("＋1", "\"'＋1\""),
            ("－1", "\"'－1\""),
            ("＠x", "\"'＠x\""),
            ("1=1", "\"1=1\""),
        ] {
            let mut text = String::new();
            push_text(written, &mut text);
            assert_eq!(text, expected, "{written:?}");
        }
    }
}
