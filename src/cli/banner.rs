//! What `seckill serve` prints once it serves: where, what is on sale, and a line that buys.
//!
//! Pure text from data. The first two lines are for scripts and never change their form.

use super::numbers::grouped;
use domain::{Currency, ItemId, OrderId, Timestamp};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a newcomer needs to buy something.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The sale's title.
    pub title: String,
    /// When it starts.
    pub starts_at: Timestamp,
    /// Its items, of which the curl line buys the first that can be bought.
    pub items: Vec<OfferItem>,
    /// A demo user's token.
    pub token: String,
    /// How long the token is good for, in seconds.
    pub token_seconds: u64,
    /// An unpaid order of the demo user, which may keep it from buying another.
    pub reserved: Option<OrderId>,
}

/// How the console is opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Console {
    /// One-time links for people who have no account yet, each with what it is for. Only on a machine's own
    /// address, and only while nobody has an account.
    pub links: Vec<(String, String)>,
}

/// What is said where the secret that signs tokens was gone.
pub const NEW_SECRET: &str = "the secret that signs tokens was gone and is made anew: no token, session or \
                              link of before is accepted any more; buyers and operators log in again, and \
                              tokens of `seckill mint` are minted again. To have the old ones back, stop, \
                              bring secrets/token.key back from a copy, and start";

/// An item on offer.
#[derive(Clone, Debug)]
pub struct OfferItem {
    /// The item's number.
    pub item_id: ItemId,
    /// The title under which it is shown.
    pub title: String,
    /// Price of one unit in minor units.
    pub price: u64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// Units on sale in all.
    pub allotted: u32,
    /// Units that are left.
    pub available: u32,
    /// Whether one request of the demo user buys one: it holds fewer than a buyer may, and the item is neither
    /// paused nor guarded.
    pub may_buy: bool,
}

/// The lines that say where the process listens: for buyers, encrypted or not, and for those who run it.
pub fn listening(is_encrypted: bool, address: SocketAddr, operations: SocketAddr) -> String {
    let scheme = if is_encrypted { "https" } else { "http" };
    format!("listening on {scheme}://{address}\noperations on http://{operations}\n")
}

/// Where people find the shop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// What the API's paths are appended to.
    base: String,
    /// Where the storefront is.
    shop: String,
}

impl Place {
    /// Where it listens, as seen from this machine.
    pub fn of(address: SocketAddr) -> Self {
        Self { base: format!("http://{}", reachable(address)), shop: visited(address) }
    }

    /// At its public URL.
    pub fn at(url: &str) -> Self {
        Self { base: url.to_owned(), shop: format!("{url}/") }
    }
}

/// What follows these lines: the sale if there is one, as seen at `now`, the console, and the API's
/// documentation.
pub fn banner(
    Place { base, shop }: &Place,
    offer: Option<&Offer>,
    console: &Console,
    now: Timestamp,
) -> String {
    let mut text = String::from("\n");
    if let Some(offer) = offer {
        write_offer(&mut text, base, offer, now);
    }
    let _ = writeln!(text, "  The shop:      {shop}");
    write_console(&mut text, base, console);
    text + format!("  The API:       {base}/docs\n").as_str()
}

fn write_console(text: &mut String, base: &str, console: &Console) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  The console:   {base}/console");
    if console.links.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "  Each link opens it once, within 15 minutes, for a person who chooses a password:\n"
    );
    for (whose, link) in &console.links {
        let _ = writeln!(text, "    {whose}:\n{link}\n");
    }
}

fn write_offer(text: &mut String, base: &str, offer: &Offer, now: Timestamp) {
    let Offer { title, starts_at, items, .. } = offer;
    let start = i64::try_from(starts_at.0).ok();
    let start = start.and_then(|start| jiff::Timestamp::from_millisecond(start).ok());
    let start = start.map_or_else(|| starts_at.0.to_string(), |start| format!("{start:.0}"));
    let seconds = starts_at.0.saturating_sub(now.0).div_ceil(1000);
    let when = match seconds {
        0 => "live now".to_owned(),
        seconds => format!("starts in {seconds} s"),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  On sale:       {title}, {when} ({start})");
    for OfferItem { item_id, title, price, currency, allotted, available, .. } in items {
        let left = grouped(u64::from(*available));
        let units = match available == allotted {
            true => format!("{left} units"),
            false => format!("{left} of {} units", grouped(u64::from(*allotted))),
        };
        let price = currency.format(*price);
        let _ = writeln!(text, "    item {item_id:<4} {price:>14} {units:>23}  {title}");
    }
    write_purchase(text, base, offer);
}

/// The line that buys, or why there is none.
fn write_purchase(text: &mut String, base: &str, offer: &Offer) {
    let Offer { items, token, token_seconds, reserved, .. } = offer;
    let post = |path: String| {
        format!("curl -X POST {base}/api/v1/{path} -H 'Authorization: Bearer {token}'")
    };
    let minutes = token_seconds / 60;
    if let Some(item) = items.iter().find(|item| item.may_buy && item.available > 0) {
        let buy = post(format!("items/{}/buy", item.item_id));
        let _ = writeln!(
            text,
            "\n  Buy one (the token is good for {minutes} minutes):\n\n{buy} -H 'Content-Type: \
             application/json' -d '{{\"quantity\":1}}'\n",
        );
    } else {
        let _ = writeln!(
            text,
            "\n  There is nothing to buy for the demo user by one line: it is sold out, paused or guarded, or \
             this\n  user has it. `seckill demo` sets up new sales.\n"
        );
    }
    if let Some(order) = reserved {
        let pay = post(format!("orders/{order}/pay"));
        let _ = writeln!(
            text,
            "  Order {order} of the demo user is unpaid. Pay it, or give it up with /cancel:\n\n{pay}\n"
        );
    }
}

/// Where a browser on this machine finds the shop. By name rather than by number where it is this machine:
/// browsers allow more to pages of `localhost`.
fn visited(address: SocketAddr) -> String {
    let address = reachable(address);
    if address.ip().is_loopback() {
        return format!("http://localhost:{}/", address.port());
    }
    format!("http://{address}/")
}

/// Where a client on this machine finds a server that listens on all addresses.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        let item = |item_id, title: &str, price, allotted| OfferItem {
            item_id: ItemId(item_id),
            title: title.to_owned(),
            price,
            currency: Currency::parse("CNY").expect("a code"),
            allotted,
            available: allotted,
            may_buy: true,
        };
        Offer {
            title: "Demo sale".to_owned(),
            starts_at: Timestamp(1_790_000_005_000),
            items: vec![item(1, "Enamel mug", 990, 100), item(22, "手机", 299_900, 10_000)],
            token: "a.b.c".to_owned(),
            token_seconds: 3_600,
            reserved: None,
        }
    }

    #[test]
    fn the_first_lines_are_for_scripts() {
        let address = SocketAddr::from(([0, 0, 0, 0], 8080));
        let operations = SocketAddr::from((Ipv6Addr::LOCALHOST, 1));
        let expected = "listening on http://0.0.0.0:8080\noperations on http://[::1]:1\n";
        assert_eq!(listening(false, address, operations), expected);
    }

    #[test]
    fn a_newcomer_can_buy() {
        let address = SocketAddr::from(([0, 0, 0, 0], 8080));
        let text = banner(
            &Place::of(address),
            Some(&offer()),
            &Console::default(),
            Timestamp(1_790_000_000_001),
        );
        assert_eq!(
            text,
            r#"
  On sale:       Demo sale, starts in 5 s (2026-09-21T14:13:25Z)
    item 1          9.90 CNY               100 units  Enamel mug
    item 22      2999.00 CNY            10,000 units  手机

  Buy one (the token is good for 60 minutes):

curl -X POST http://127.0.0.1:8080/api/v1/items/1/buy -H 'Authorization: Bearer a.b.c' -H 'Content-Type: application/json' -d '{"quantity":1}'

  The shop:      http://localhost:8080/
  The console:   http://127.0.0.1:8080/console
  The API:       http://127.0.0.1:8080/docs
"#
        );
    }

    #[test]
    fn what_is_left_is_told_and_what_can_be_bought_is_offered() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut offer = offer();
        offer.items[0].available = 7;
        offer.items[0].may_buy = false;
        offer.reserved = Some(OrderId(77));
        let text = banner(
            &Place::of(address),
            Some(&offer),
            &Console::default(),
            Timestamp(1_790_000_005_000),
        );
        assert!(text.contains("7 of 100 units  Enamel mug"), "{text}");
        assert!(text.contains("/items/22/buy"), "{text}");
        assert!(text.contains("Order 77 of the demo user is unpaid"), "{text}");
        assert!(text.contains("/orders/77/pay -H 'Authorization: Bearer a.b.c'"), "{text}");
        offer.items[1].available = 0;
        let text = banner(
            &Place::of(address),
            Some(&offer),
            &Console::default(),
            Timestamp(1_790_000_005_000),
        );
        assert!(text.contains("nothing to buy for the demo user"), "{text}");
        assert!(text.contains("`seckill demo` sets up new sales"), "{text}");
        assert!(!text.contains("/buy -H"), "{text}");
    }

    #[test]
    fn a_shop_without_a_demo_still_names_its_documentation() {
        let text = banner(
            &Place::of(SocketAddr::from(([127, 0, 0, 1], 80))),
            None,
            &Console::default(),
            Timestamp(0),
        );
        assert_eq!(
            text,
            "\n  The shop:      http://localhost:80/\n  The console:   http://127.0.0.1:80/console\n  The API:       http://127.0.0.1:80/docs\n"
        );
    }

    #[test]
    fn the_first_people_have_a_link_each() {
        let links =
            [("eva, who sells", "http://x/console/accept#a"), ("bo", "http://x/console/accept#b")];
        let links = links.map(|(whose, link)| (whose.to_owned(), link.to_owned())).into();
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let text = banner(&Place::of(address), None, &Console { links }, Timestamp(0));
        assert!(text.contains("\n    eva, who sells:\nhttp://x/console/accept#a\n"), "{text}");
        assert!(text.contains("\n    bo:\nhttp://x/console/accept#b\n"), "{text}");
    }

    #[test]
    fn a_sale_that_has_started_is_live() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let text = banner(
            &Place::of(address),
            Some(&offer()),
            &Console::default(),
            Timestamp(1_790_000_005_000),
        );
        assert!(text.contains("Demo sale, live now (2026-"), "{text}");
    }
}
