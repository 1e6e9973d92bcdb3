//! What hostile clients send: heads and bodies that are too large, too slow or nonsense, and frames of
//! HTTP/2 that only cost. The bytes alone: who sends them judges what comes back.

/// The most that a server may say to one of these before it closes.
pub type Statuses = &'static [&'static str];

/// Requests that never come to their end: half a head, half a body of a purchase, and requests for large
/// files by a client that reads no answer.
#[must_use]
pub fn slow_requests(buy_path: &str, token: &str) -> [String; 3] {
    let body = format!(
        "POST {buy_path} HTTP/1.1\r\nhost: drill\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 14\r\n\r\n{{\"quan"
    );
    let deaf = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: drill\r\n\r\n".repeat(16);
    ["GET /livez HTTP/1.1\r\nhost: dr".to_owned(), body, deaf]
}

/// Requests that are too large, each with the statuses that may answer it.
#[must_use]
pub fn oversized_requests(buy_path: &str, token: &str) -> Vec<(Vec<u8>, Statuses)> {
    let head = |path: &str, length: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: drill\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\n{length}\r\n\r\n"
        )
    };
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
    let mut headers = "GET /livez HTTP/1.1\r\nhost: drill\r\n".to_owned();
    headers.extend((0..10_000).map(|number| format!("x-{number}: {number}\r\n")));
    headers.push_str("\r\n");
    let long = format!("GET /{} HTTP/1.1\r\nhost: drill\r\n\r\n", "x".repeat(1 << 20));
    let gzip = head(buy_path, "content-encoding: gzip\r\ncontent-length: 1000000000");
    let much = " ".repeat(1 << 20);
    let requests: [(String, &str, Statuses); 7] = [
        (head(buy_path, "content-length: 1000000000"), &much, &["413"]),
        (head("/api/v1/login", "content-length: 1000000000"), &much, &["413"]),
        (head(buy_path, "content-length: 99999999999999999999999"), "", &["400", "413"]),
        (head(buy_path, "transfer-encoding: chunked"), &chunk.repeat(64), &["413"]),
        (gzip, &much, &["413", "415"]),
        (headers, "", &["431"]),
        (long, "", &["414", "431"]),
    ];
    requests.map(|(head, body, statuses)| ((head + body).into_bytes(), statuses)).into()
}

/// Bodies of a purchase that nobody can mean, as they are malformed or say what cannot be, each with the
/// code of the refusal.
#[must_use]
pub fn nonsense_bodies() -> Vec<(Vec<u8>, &'static str)> {
    let deep = format!("{}1{}", "[".repeat(400), "]".repeat(400));
    let malformed: [(&[u8], &str); 12] = [
        (br#"{"quantity":1e999}"#, "malformed_json"),
        (br#"{"quantity":NaN}"#, "malformed_json"),
        (br#"{"quantity":1,"quantity":2}"#, "malformed_json"),
        (br#"{"quantity":1,"user_id":"7"}"#, "invalid_field"),
        (br#"{"quantity":"1"}"#, "invalid_field"),
        (br#"{"quantity":1"#, "malformed_json"),
        (br#"{"quantity":1}{}"#, "malformed_json"),
        (b"[]", "invalid_field"),
        (b"null", "invalid_field"),
        (deep.as_bytes(), "malformed_json"),
        (b"{\"quantity\":1,\"\xff\xfe\":1}", "malformed_json"),
        (b"\0\0\0\0", "malformed_json"),
    ];
    malformed.map(|(body, code)| (body.to_vec(), code)).into()
}

/// Bodies of a purchase of so many units, which are all `invalid_field`.
pub const IMPOSSIBLE_QUANTITIES: [&str; 6] = [
    r#"{"quantity":0}"#,
    r#"{"quantity":-1}"#,
    r#"{"quantity":9223372036854775808}"#,
    r#"{"quantity":18446744073709551617}"#,
    r#"{"quantity":1e308}"#,
    r#"{"quantity":1.5}"#,
];

/// Bodies of a sale with a price or a number of units that cannot be, which are all `invalid_field`.
#[must_use]
pub fn impossible_sales() -> [String; 5] {
    let prices_and_units =
        [("-1", "1"), ("1e308", "1"), ("9223372036854775808", "1"), ("1", "0"), ("1", "-1")];
    prices_and_units.map(|(price, allotted)| {
        format!(
            r#"{{"title":"T","starts_at":"2020-01-01T00:00:00Z","ends_at":"2100-01-01T00:00:00Z",
            "items":[{{"product_id":"p","title":"P","price":{price},"currency":"EUR",
            "allotted":{allotted}}}]}}"#
        )
    })
}

/// What is no HTTP, or not one that may be answered; each is 400, 405, 505 or a closed connection.
pub const MALFORMED_HEADS: [&[u8]; 6] = [
    b"\0\x01\x02\x03 garbage\r\n\r\n",
    b"GET /livez HTTP/9.9\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
    b"POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    b"POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
];

/// A purchase with this body.
#[must_use]
pub fn purchase(buy_path: &str, token: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {buy_path} HTTP/1.1\r\nhost: drill\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A connection of HTTP/2 on which so many streams are opened and reset in a row.
#[must_use]
pub fn rapid_resets(streams: u32) -> Vec<u8> {
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frames.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // GET http / from HPACK's static table, and `:authority` as a literal.
    let head = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
    for stream in (1..2 * streams).step_by(2) {
        frames.extend([0, 0, head.len() as u8, 1, 5]);
        frames.extend(stream.to_be_bytes());
        frames.extend(head);
        frames.extend([0, 0, 4, 3, 0]);
        frames.extend(stream.to_be_bytes());
        frames.extend(8_u32.to_be_bytes());
    }
    frames
}
