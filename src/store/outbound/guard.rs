//! Where a request may go whose URL somebody entered: to addresses of the Internet, and to private ones that the
//! configuration names. What only this machine can reach is no business of that person (server-side request forgery,
//! CWE-918).
//!
//! Pure: a URL is read once, and addresses are judged as numbers. Must not open a socket, nor resolve a name.

use domain::{Address, Network};
use hyper::Uri;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;
/// The ports that a server of the Internet may have.
const PORTS: [u16; 2] = [443, 8443];
/// The longest name of a host (RFC 1035), in bytes.
const NAME_BYTES_MAX: usize = 253;
/// The longest part of one between two points.
const LABEL_BYTES_MAX: usize = 63;

/// A block of addresses: its first one, and how many of 128 bits its addresses share.
#[derive(Clone, Copy)]
struct Block(u128, u8);

/// A block of IPv4.
const fn v4(first: [u8; 4], length: u8) -> Block {
    let [a, b, c, d] = first;
    Block(Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().to_bits(), 96 + length)
}

/// A block of IPv6, by the first three of its groups.
const fn v6(first: [u16; 3], length: u8) -> Block {
    let [a, b, c] = first;
    Block(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_bits(), length)
}

/// One address of IPv6.
const fn one(address: [u16; 8]) -> Block {
    let [a, b, c, d, e, f, g, h] = address;
    Block(Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits(), 128)
}

/// What of IPv4 is not of the Internet (IANA's registry of special-purpose addresses, RFC 6890).
const SPECIAL_V4: [Block; 16] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    // Of the Internet by its number, and a cloud's own service on each of its machines.
    v4([168, 63, 129, 16], 32),
];

/// All that is given out of IPv6 for the Internet.
const GIVEN_OUT_V6: Block = v6([0x2000, 0, 0], 3);
/// What of that is not of the Internet, or has an address of IPv4 in it: protocol assignments with Teredo,
/// documentation, 6to4, and the old test network.
const SPECIAL_V6: [Block; 5] = [
    v6([0x2001, 0, 0], 23),
    v6([0x2001, 0xdb8, 0], 32),
    v6([0x2002, 0, 0], 16),
    v6([0x3ffe, 0, 0], 16),
    v6([0x3fff, 0, 0], 20),
];

/// What no setting allows: addresses without a host, link-local and multicast ones, and those at which clouds
/// tell a machine its own secrets.
const NEVER: [Block; 10] = [
    v4([0, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    v4([100, 100, 100, 200], 32),
    v4([168, 63, 129, 16], 32),
    v6([0xfe80, 0, 0], 10),
    v6([0xff00, 0, 0], 8),
    one([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]),
    one([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]),
];

impl Block {
    fn contains(self, address: Address) -> bool {
        let mask = u128::MAX.checked_shl(128 - u32::from(self.1)).unwrap_or_default();
        (address.bits() ^ self.0) & mask == 0
    }
}

/// Whether the address is one of the Internet.
fn is_global(address: Address) -> bool {
    let special: &[Block] = if address.is_ipv4() { &SPECIAL_V4 } else { &SPECIAL_V6 };
    let is_given_out = address.is_ipv4() || GIVEN_OUT_V6.contains(address);
    is_given_out && !special.iter().any(|block| block.contains(address))
}

/// Why a request may not go there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAllowed {
    /// It is no URL that leads to a server.
    #[error(
        "must be a URL such as https://erp.example/hooks, of visible ASCII characters without #"
    )]
    Form,
    /// It is longer than it may be.
    #[error("must have {URL_BYTES_MAX} bytes at most")]
    TooLong,
    /// It names a user or a password.
    #[error("must not have a user or a password in it")]
    User,
    /// It is not of HTTPS, or of HTTP where private networks are allowed.
    #[error("must begin with https://")]
    Scheme,
    /// The port is another one.
    #[error("must have no port, or 443 or 8443")]
    Port,
    /// The host is a number in another form than an address has.
    #[error("must name its host by a name, or by an address in its usual form")]
    Host,
    /// The address is not of the Internet, and not allowed.
    #[error("leads to {0}, which is not an address of the Internet")]
    Address(IpAddr),
    /// The address is private and allowed, or of the Internet, but not in this way.
    #[error("leads to {0}: there only https:// and the ports 443 and 8443 are allowed")]
    OnlyHttps(IpAddr),
    /// The name leads nowhere.
    #[error("names a host that has no address")]
    NoAddress,
}

/// What may be reached beside the Internet. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<[Network]>);

/// A place that a request may go to, as far as its URL tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    uri: Uri,
    pub(super) host: Host,
    pub(super) port: u16,
    /// Whether it is of HTTP, or at another port than a server of the Internet may have.
    is_unusual: bool,
}

/// A host as a URL names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Host {
    /// By its address.
    Address(IpAddr),
    /// By a name, which has to be resolved.
    Name(String),
}

impl Target {
    /// Returns its whole URL.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(formatter)
    }
}

impl Guard {
    /// Makes the guard that lets requests into these private networks, too.
    pub fn new(allowed: impl IntoIterator<Item = Network>) -> Self {
        Self(allowed.into_iter().collect())
    }

    /// Reads a URL that somebody entered. What it leads to if its host is a name is judged at each connection.
    ///
    /// # Errors
    /// Returns [`NotAllowed`] if no request may go there.
    pub fn target(&self, url: &str) -> Result<Target, NotAllowed> {
        if url.len() > URL_BYTES_MAX {
            return Err(NotAllowed::TooLong);
        }
        let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\\".contains(&byte));
        let uri: Option<Uri> = url.parse().ok().filter(|_| is_plain);
        self.target_of(&uri.ok_or(NotAllowed::Form)?)
    }

    /// Reads a URL for a connection.
    ///
    /// # Errors
    /// Returns [`NotAllowed`] if no request may go there.
    pub(super) fn target_of(&self, uri: &Uri) -> Result<Target, NotAllowed> {
        let default_port = match uri.scheme_str() {
            Some("https") => 443,
            Some("http") if !self.0.is_empty() => 80,
            _ => return Err(NotAllowed::Scheme),
        };
        let authority = uri.authority().ok_or(NotAllowed::Form)?;
        if authority.as_str().contains('@') {
            return Err(NotAllowed::User);
        }
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => default_port,
            Some(rest) => port(rest).ok_or(NotAllowed::Form)?,
            None => return Err(NotAllowed::Form),
        };
        let is_unusual = default_port != 443 || !PORTS.contains(&port);
        if is_unusual && self.0.is_empty() {
            return Err(NotAllowed::Port);
        }
        let target = Target { uri: uri.clone(), host: read_host(host)?, port, is_unusual };
        if let Host::Address(address) = target.host {
            self.check(&target, address)?;
        }
        Ok(target)
    }

    /// Checks that a request to `target` may go to all of the addresses that its name has.
    ///
    /// # Errors
    /// Returns [`NotAllowed`] if it may not go to one of them, or there is none.
    pub(super) fn check_all(
        &self,
        target: &Target,
        addresses: &[IpAddr],
    ) -> Result<(), NotAllowed> {
        if addresses.is_empty() {
            return Err(NotAllowed::NoAddress);
        }
        addresses.iter().try_for_each(|address| self.check(target, *address))
    }

    fn check(&self, target: &Target, ip: IpAddr) -> Result<(), NotAllowed> {
        // An address of IPv4 in the clothes of IPv6 is written by nobody who has nothing to hide.
        let is_mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        let address = Address::from(ip);
        if is_mapped || NEVER.iter().any(|block| block.contains(address)) {
            return Err(NotAllowed::Address(ip));
        }
        if self.0.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        match is_global(address) {
            false => Err(NotAllowed::Address(ip)),
            true if target.is_unusual => Err(NotAllowed::OnlyHttps(ip)),
            true => Ok(()),
        }
    }
}

/// The port of a text such as `:8443`, in its only form.
fn port(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(':')?;
    let port: u16 = digits.parse().ok()?;
    (port > 0 && port.to_string() == digits).then_some(port)
}

/// Reads a host: an address in its usual form, or a name. What a resolver would take for a number is no name.
fn read_host(text: &str) -> Result<Host, NotAllowed> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| NotAllowed::Host)?;
        return Ok(Host::Address(address.into()));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // As the URL Standard has it: a last part that is a number makes the whole an address of IPv4.
    let last = text.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let is_name = text.len() <= NAME_BYTES_MAX && text.split('.').all(is_label) && !is_number;
    if is_name { Ok(Host::Name(text.to_ascii_lowercase())) } else { Err(NotAllowed::Host) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(networks: &[&str]) -> Guard {
        Guard::new(networks.iter().map(|network| network.parse().expect("a network")))
    }

    #[test]
    fn only_https_at_the_usual_ports_leads_to_the_internet() {
        let none = guard(&[]);
        for (url, expected) in [
            ("https://erp.example/hooks?a=b", Ok(())),
            ("https://erp.example", Ok(())),
            ("HTTPS://ERP.Example:8443/", Ok(())),
            ("https://8.8.8.8/", Ok(())),
            ("https://[2606:4700:4700::1111]:443/", Ok(())),
            ("http://erp.example/", Err(NotAllowed::Scheme)),
            ("ftp://erp.example/", Err(NotAllowed::Scheme)),
            ("/hooks", Err(NotAllowed::Scheme)),
            ("erp.example", Err(NotAllowed::Scheme)),
            ("", Err(NotAllowed::Form)),
            ("https:///hooks", Err(NotAllowed::Form)),
            ("https://erp.example/#part", Err(NotAllowed::Form)),
            ("https://erp.example/支付", Err(NotAllowed::Form)),
            ("https://erp.example\\@10.0.0.1/", Err(NotAllowed::Form)),
            ("https://erp.example/a b", Err(NotAllowed::Form)),
            ("https://ann:secret@erp.example/", Err(NotAllowed::User)),
            ("https://erp.example@10.0.0.1/", Err(NotAllowed::User)),
            ("https://erp.example:80/", Err(NotAllowed::Port)),
            ("https://erp.example:22/", Err(NotAllowed::Port)),
            ("https://erp.example:/", Err(NotAllowed::Form)),
            ("https://erp.example:0443/", Err(NotAllowed::Form)),
            ("https://-.-/", Ok(())),
            ("https://erp..example/", Err(NotAllowed::Host)),
            ("https://erp.example./", Err(NotAllowed::Host)),
        ] {
            assert_eq!(none.target(url).map(drop), expected, "{url}");
        }
        let long = format!("https://erp.example/{}", "x".repeat(URL_BYTES_MAX));
        assert_eq!(none.target(&long), Err(NotAllowed::TooLong));
    }

    #[test]
    fn no_form_of_an_address_gets_into_a_private_network() {
        let none = guard(&[]);
        for host in [
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "192.88.99.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::1]",
            "[100::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[2001::1]",
            "[2002:7f00:1::]",
            "[3fff::1]",
            "[4000::1]",
        ] {
            let told = none.target(&format!("https://{host}/"));
            assert!(matches!(told, Err(NotAllowed::Address(_))), "{host}: {told:?}");
        }
        for host in [
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.1",
            "127.0.1",
            "127.0.0.01",
            "1.2.3.256",
            "0x",
            "erp.0x7f",
            "erp.1",
            "[::1%25lo]",
            "[127.0.0.1]",
            "%31%32%37.0.0.1",
            "erp!example",
        ] {
            let told = none.target(&format!("https://{host}/"));
            assert!(matches!(told, Err(NotAllowed::Host | NotAllowed::Form)), "{host}: {told:?}");
        }
    }

    #[test]
    fn an_allowed_network_is_reached_in_any_way_and_link_local_in_none() {
        let guard = guard(&[
            "127.0.0.0/8",
            "10.0.0.0/16",
            "169.254.0.0/16",
            "fd00:ec2::/32",
            "100.64.0.0/10",
        ]);
        for url in ["http://127.0.0.1:9000/", "https://10.0.3.4:5000/", "https://[fd00:ec2::1]/"] {
            assert!(guard.target(url).is_ok(), "{url}");
        }
        for url in [
            "http://10.1.0.1/",
            "http://169.254.169.254/",
            "https://[fd00:ec2::254]/",
            "https://100.100.100.200/",
            "https://[::ffff:127.0.0.1]/",
        ] {
            assert!(matches!(guard.target(url), Err(NotAllowed::Address(_))), "{url}");
        }
        // The Internet is reached as ever, which for a name shows once it is resolved.
        assert!(matches!(guard.target("http://8.8.8.8/"), Err(NotAllowed::OnlyHttps(_))));
        let named = guard.target("http://erp.example/").expect("a name");
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(guard.check_all(&named, &[address("10.0.0.9")]), Ok(()));
        let public = address("8.8.8.8");
        assert_eq!(guard.check_all(&named, &[public]), Err(NotAllowed::OnlyHttps(public)));
    }

    #[test]
    fn a_name_counts_by_the_worst_of_its_addresses() {
        let none = guard(&[]);
        let named = none.target("https://erp.example/").expect("a name");
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let (public, private) = (address("8.8.8.8"), address("10.0.0.1"));
        assert_eq!(none.check_all(&named, &[public]), Ok(()));
        for both in [[public, private], [private, public]] {
            assert_eq!(none.check_all(&named, &both), Err(NotAllowed::Address(private)));
        }
        assert_eq!(none.check_all(&named, &[]), Err(NotAllowed::NoAddress));
        let mapped = address("::ffff:8.8.8.8");
        assert_eq!(none.check_all(&named, &[mapped]), Err(NotAllowed::Address(mapped)));
    }
}
