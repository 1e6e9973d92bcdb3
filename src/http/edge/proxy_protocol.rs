//! The PROXY protocol's header, versions 1 and 2: what a proxy sends before a connection's first byte, to
//! say for whom it connects.
//!
//! Owns the parser, which takes any bytes, and the reading of a header from a stream. Must not know who
//! may send one. After HAProxy's `proxy-protocol.txt`.

use domain::Address;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// The longest header of version 1, its end included.
const LINE_LENGTH_MAX: usize = 107;
/// The longest header that is read: one of version 2 may carry a certificate's name and more.
const LENGTH_MAX: usize = 4_096;
/// Bytes of a version 2 header before its addresses.
const FIXED_LENGTH: usize = 16;

/// What the bytes at the beginning of a connection are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Parsed {
    /// A header, if more bytes come.
    Incomplete,
    /// A header of so many bytes; the source is absent if the proxy speaks for itself.
    Header { length: usize, source: Option<Address> },
    /// No header, or a bad one.
    Malformed,
}

/// What a connection began with.
#[derive(Debug)]
pub struct Begun {
    /// For whom the proxy connects; none if it speaks for itself.
    pub source: Option<Address>,
    /// What came behind the header.
    pub rest: Vec<u8>,
}

/// Reads the header from the stream.
///
/// # Errors
/// Returns an error if the stream fails or ends, or begins with something else.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Begun> {
    let mut bytes = Vec::with_capacity(256);
    loop {
        match parse(&bytes) {
            Parsed::Header { length, source } => {
                return Ok(Begun { source, rest: bytes.split_off(length) });
            }
            Parsed::Malformed => return Err(io::ErrorKind::InvalidData.into()),
            Parsed::Incomplete if bytes.len() >= LENGTH_MAX => {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Parsed::Incomplete => {}
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn parse(bytes: &[u8]) -> Parsed {
    let begins = |what: &[u8]| what.starts_with(bytes) || bytes.starts_with(what);
    if begins(SIGNATURE) {
        parse_binary(bytes)
    } else if begins(WORD) {
        parse_line(bytes)
    } else {
        Parsed::Malformed
    }
}

/// Parses version 1: `PROXY TCP4 192.0.2.7 198.51.100.1 56324 443` and the end of a line.
fn parse_line(bytes: &[u8]) -> Parsed {
    let seen = &bytes[..bytes.len().min(LINE_LENGTH_MAX)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LINE_LENGTH_MAX { Parsed::Incomplete } else { Parsed::Malformed };
    };
    let length = end + 2;
    let Ok(line) = std::str::from_utf8(&bytes[..end]) else { return Parsed::Malformed };
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Parsed::Header { length, source: None };
    }
    let words: Vec<&str> = words.collect();
    let [source, destination, source_port, destination_port] = words[..] else {
        return Parsed::Malformed;
    };
    let address = |text: &str| match family {
        Some("TCP4") => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some("TCP6") => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port.to_string() == text);
    match (address(source), address(destination)) {
        (Some(source), Some(_)) if is_port(source_port) && is_port(destination_port) => {
            Parsed::Header { length, source: Some(source.into()) }
        }
        _ => Parsed::Malformed,
    }
}

/// Parses version 2: signature, version and command, family and protocol, length, addresses, and more
/// that is of no interest here.
fn parse_binary(bytes: &[u8]) -> Parsed {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_LENGTH) else {
        return Parsed::Incomplete;
    };
    let (command, family) = (fixed[12], fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED_LENGTH + length > LENGTH_MAX {
        return Parsed::Malformed;
    }
    // Of IPv4, of IPv6, of the file system; and unknown.
    let addresses = match family >> 4 {
        0 => 0,
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return Parsed::Malformed,
    };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Parsed::Malformed,
    };
    if !is_local && (family & 0x0F > 2 || length < addresses) {
        return Parsed::Malformed;
    }
    let Some(content) = rest.get(..length) else { return Parsed::Incomplete };
    let source = match family >> 4 {
        _ if is_local => None,
        1 => content.first_chunk::<4>().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets))),
        2 => content.first_chunk::<16>().map(|octets| IpAddr::V6(Ipv6Addr::from(*octets))),
        _ => None,
    };
    Parsed::Header { length: FIXED_LENGTH + length, source: source.map(Address::from) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    fn binary(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(content.len()).expect("a length").to_be_bytes());
        bytes.extend(content);
        bytes
    }

    /// Addresses and ports of IPv4: 192.0.2.7:4711 to 198.51.100.1:443.
    const IPV4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 0xBB];

    fn ipv6() -> Vec<u8> {
        let mut content = [0; 36];
        content[..4].copy_from_slice(&[0x20, 1, 0x0D, 0xB8]);
        content[15] = 7;
        content.into()
    }

    #[test]
    fn headers_as_proxies_send_them() {
        let with_tlv = [&IPV4[..], &[4, 0, 1, 0]].concat();
        for (bytes, source) in [
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec(), Some("192.0.2.7")),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n".to_vec(), Some("2001:db8::7")),
            (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 65535\r\n".to_vec(), Some("192.0.2.7")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), None),
            (binary(0x21, 0x11, &IPV4), Some("192.0.2.7")),
            (binary(0x21, 0x11, &with_tlv), Some("192.0.2.7")),
            (binary(0x21, 0x21, &ipv6()), Some("2001:db8::7")),
            (binary(0x20, 0x00, &[]), None),
            (binary(0x20, 0x11, &IPV4), None),
            (binary(0x21, 0x00, &[]), None),
            (binary(0x21, 0x31, &[b'/'; 216]), None),
        ] {
            let source = source.map(address);
            let expected = Parsed::Header { length: bytes.len(), source };
            assert_eq!(parse(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
            let followed = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parse(&followed), expected);
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Parsed::Incomplete, "{end} bytes of {bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}", "x".repeat(LINE_LENGTH_MAX));
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            b"proxy TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 1\r\n".to_vec(),
            b"PROXY TCP4  192.0.2.7 198.51.100.1 4711 443\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 443\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 198.51.100.1 04711 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.256 198.51.100.1 4711 443\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec(),
            b"PROXY \xFF\r\n".to_vec(),
            b"PROXY \r\n".to_vec(),
            long.into_bytes(),
            binary(0x11, 0x11, &IPV4),
            binary(0x22, 0x11, &IPV4),
            binary(0x21, 0x41, &IPV4),
            binary(0x21, 0x13, &IPV4),
            binary(0x21, 0x11, &IPV4[..11]),
            binary(0x21, 0x21, &IPV4),
            binary(0x21, 0x31, &IPV4),
            binary(0x21, 0x00, &[0; LENGTH_MAX]),
        ] {
            assert_eq!(parse(&bytes), Parsed::Malformed, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    /// Bytes that get past the first look now and then.
    fn nearly_headers() -> impl Strategy<Value = Vec<u8>> {
        let noise = || proptest::collection::vec(any::<u8>(), 0..300);
        let begin = prop_oneof![
            Just(Vec::new()),
            Just(WORD.to_vec()),
            Just(b"PROXY TCP4 ".to_vec()),
            Just(SIGNATURE.to_vec()),
            Just([&SIGNATURE[..], &[0x21, 0x11, 0]].concat()),
            Just([&SIGNATURE[..], &[0x21, 0x21, 0, 36]].concat()),
        ];
        (begin, noise()).prop_map(|(begin, noise)| [begin, noise].concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_and_more_of_them_change_no_verdict(
            bytes in nearly_headers(),
            more in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let verdict = parse(&bytes);
            if let Parsed::Header { length, .. } = verdict {
                prop_assert!(length <= bytes.len());
                prop_assert_eq!(parse(&bytes[..length]), verdict);
            }
            if verdict != Parsed::Incomplete {
                prop_assert_eq!(parse(&[&bytes[..], &more].concat()), verdict);
            }
        }
    }

    #[tokio::test]
    async fn a_header_is_read_in_pieces_and_what_follows_is_kept() {
        let bytes = [&binary(0x21, 0x11, &IPV4)[..], b"GET /"].concat();
        for piece in [1, 7, 100] {
            let pieces: Vec<_> = bytes.chunks(piece).collect();
            let mut stream = tokio_test_stream(&pieces);
            let begun = read(&mut stream).await.expect("a header");
            assert_eq!(begun.source, Some(address("192.0.2.7")));
            let mut rest = begun.rest;
            stream.read_to_end(&mut rest).await.expect("the rest");
            assert_eq!(rest, b"GET /");
        }
        let mut ended = &bytes[..20];
        let error = read(&mut ended).await.expect_err("it is not whole");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let mut other = &b"GET / HTTP/1.1\r\n"[..];
        let error = read(&mut other).await.expect_err("it is no header");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    /// A stream that hands over one piece at a time.
    fn tokio_test_stream(pieces: &[&[u8]]) -> impl AsyncRead + Unpin {
        let empty: Box<dyn AsyncRead + Unpin> = Box::new(tokio::io::empty());
        pieces
            .iter()
            .rev()
            .fold(empty, |rest, piece| Box::new(io::Cursor::new(piece.to_vec()).chain(rest)))
    }
}
