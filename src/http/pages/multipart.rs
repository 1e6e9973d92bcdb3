//! The parts of a form with files (RFC 7578), as browsers write them: whole, and bounded by the body they
//! came in.
//!
//! Must not know what a field means, nor what a file is.

use bytes::Bytes;

/// A part of a form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The field's name.
    pub name: String,
    /// Whether it is a file, chosen or not.
    pub is_file: bool,
    /// What it holds.
    pub content: Bytes,
}

/// The body is not a form of this kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the form is not multipart/form-data as browsers write it")]
pub struct NotParts;

/// Returns the boundary that a `Content-Type` names; none if it is of another type.
pub fn boundary(content_type: &str) -> Option<&str> {
    const LENGTH_MAX: usize = 70;
    let mut fields = content_type.split(';').map(str::trim);
    if !fields.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = fields.find_map(|field| {
        let (name, value) = field.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value.trim_matches('"'))
    })?;
    (1..=LENGTH_MAX).contains(&value.len()).then_some(value)
}

/// Returns the parts of a body, at most `parts_max`.
///
/// # Errors
/// Returns [`NotParts`] if it is cut off, has more parts, or is something else.
pub fn parse(body: &Bytes, boundary: &str, parts_max: usize) -> Result<Vec<Part>, NotParts> {
    let delimiter = format!("\r\n--{boundary}");
    let first = &delimiter.as_bytes()[2..];
    let mut rest = body.strip_prefix(first).ok_or(NotParts)?;
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        if parts.len() == parts_max {
            return Err(NotParts);
        }
        rest = rest.strip_prefix(b"\r\n").ok_or(NotParts)?;
        let (head, after) = split(rest, b"\r\n\r\n").ok_or(NotParts)?;
        let (content, after) = split(after, delimiter.as_bytes()).ok_or(NotParts)?;
        let (name, is_file) = disposition(head).ok_or(NotParts)?;
        parts.push(Part { name, is_file, content: body.slice_ref(content) });
        rest = after;
    }
}

/// Returns what is before and behind the first `separator`.
fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

/// Returns the name in a part's head, and whether the part is a file.
fn disposition(head: &[u8]) -> Option<(String, bool)> {
    let head = String::from_utf8_lossy(head);
    let line = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let mut name = None;
    let mut is_file = false;
    for field in line.split(';').map(str::trim) {
        match field.split_once('=') {
            Some(("name", value)) => name = Some(value.trim_matches('"').to_owned()),
            Some(("filename" | "filename*", _)) => is_file = true,
            _ => {}
        }
    }
    Some((name?, is_file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, is_file: bool, content: &'static str) -> Part {
        Part { name: name.to_owned(), is_file, content: Bytes::from_static(content.as_bytes()) }
    }

    #[test]
    fn forms_with_files_are_read_as_browsers_write_them() {
        let body = "--xyz\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n搪瓷杯\r\n--x\r\n\
            --xyz\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a; b.png\"\r\n\
            Content-Type: image/png\r\n\r\n\r\n--xyz--\r\n";
        let read = parse(&Bytes::from_static(body.as_bytes()), "xyz", 2);
        let expected = vec![part("title", false, "搪瓷杯\r\n--x"), part("file", true, "")];
        assert_eq!(read, Ok(expected));
        assert_eq!(parse(&Bytes::from_static(body.as_bytes()), "xyz", 1), Err(NotParts));
        assert_eq!(parse(&Bytes::from_static(b"--xyz--"), "xyz", 0), Ok(Vec::new()));
        // Cut off anywhere it is no form.
        for end in 0..body.len() - 4 {
            let cut = Bytes::copy_from_slice(&body.as_bytes()[..end]);
            assert_eq!(parse(&cut, "xyz", 2), Err(NotParts), "{end}");
        }
    }

    #[test]
    fn the_type_names_the_boundary() {
        for (text, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/mixed; boundary=abc", None),
            ("", None),
        ] {
            assert_eq!(boundary(text), expected, "{text}");
        }
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "a".repeat(71))), None);
    }
}
