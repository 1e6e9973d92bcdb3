//! What the fuzzers of `fuzz/` give to the edge's readers, which are private otherwise.

use super::api::buy;
use super::auth::token::Signer;
use super::buy_token::BuyTokens;
use super::challenge::proof::{Difficulty, Proof};
use super::edge::proxy_protocol;
use super::forwarded::{ClientAddressOptions, ClientAddressSource};
use super::oidc::KeySet;
use super::oidc::jws::Unverified;
use super::pages::multipart;
use super::request::{json, picture};
use super::timestamp;
use bytes::Bytes;
use domain::{ItemId, Network, Timestamp, UserId};
use futures_util::FutureExt;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

const SECRET: &[u8] = b"a secret of the fuzzers, no shop has it";
const NOW: Timestamp = Timestamp(1_790_000_000_000);
const ITEM: ItemId = ItemId(7);
const USER: UserId = UserId(42);
const PARTS_MAX: usize = 32;

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new(SECRET).expect("long enough"));
static BUY_TOKENS: LazyLock<BuyTokens> = LazyLock::new(|| BuyTokens::new(&SIGNER));
static PROOF: LazyLock<Proof> = LazyLock::new(|| Proof::new(&SIGNER));

/// Reads a bearer token and a buy token: nobody who does not know the secret gets through.
pub fn tokens(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    assert!(SIGNER.read(text, NOW).is_err(), "a bearer token was forged: {text}");
    let bought = BUY_TOKENS.verify(NOW, text, ITEM, USER);
    assert!(bought.is_err(), "a buy token was forged: {text}");
}

/// Reads what is said to solve a challenge that was never given out.
pub fn solution(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let difficulty = Difficulty { cost: 1, prefix: "0".to_owned() };
    let read = PROOF.read(text, &difficulty, ITEM, USER, NOW);
    assert!(read.is_err(), "a challenge was forged: {text}");
}

/// Reads an issuer's keys and one of its tokens, and an instant in a body.
pub fn issuer(bytes: &[u8]) {
    let _ = KeySet::parse(bytes);
    let Ok(text) = str::from_utf8(bytes) else { return };
    let _ = Unverified::of(text);
    if let Ok(at) = timestamp::parse(text) {
        assert_eq!(timestamp::parse(&timestamp::to_string(at)).ok(), Some(at), "{text}");
    }
}

/// Reads the body of a purchase and of every other request in JSON. What the usual reader of purchases takes, the
/// strict one takes, too.
pub fn body(bytes: &[u8]) {
    let strict = json::parse_object(bytes);
    if let Ok(quantity) = buy::quantity(bytes) {
        assert!(strict.is_ok(), "{quantity} units of no object");
    }
}

/// Reads a form with a file: its content type, one line, and then its body.
pub fn form(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (line, body) = (&bytes[..end], &bytes[end + 1..]);
    let Ok(line) = str::from_utf8(line) else { return };
    let Some(boundary) = multipart::boundary(line) else { return };
    if let Ok(parts) = multipart::parse(&Bytes::copy_from_slice(body), boundary, PARTS_MAX) {
        assert!(parts.len() <= PARTS_MAX);
        assert!(parts.iter().map(|part| part.content.len()).sum::<usize>() <= body.len());
    }
}

/// Reads a picture.
pub fn picture(bytes: &[u8]) {
    let _ = picture::read(bytes);
}

/// Reads lines of `X-Forwarded-For`, through proxies that are believed.
pub fn forwarded(bytes: &[u8]) {
    static TRUSTED: LazyLock<ClientAddressOptions> = LazyLock::new(|| ClientAddressOptions {
        source: ClientAddressSource::XForwardedFor,
        trusted: vec!["10.0.0.0/8".parse::<Network>().expect("a network")],
    });
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append("x-forwarded-for", value);
    }
    let proxy = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)).into();
    let client = TRUSTED.client(proxy, &headers);
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)).into();
    assert_eq!(TRUSTED.client(stranger, &headers), stranger, "{client} was said by a stranger");
}

/// Reads what a connection begins with behind a proxy: nothing behind the header is lost.
pub fn proxy_header(bytes: &[u8]) {
    let mut stream = bytes;
    let begun = proxy_protocol::read(&mut stream).now_or_never().expect("all of it is there");
    if let Ok(begun) = begun {
        let left = [begun.rest.as_slice(), stream].concat();
        assert!(bytes.ends_with(&left) && left.len() < bytes.len());
    }
}
