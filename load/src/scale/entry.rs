//! The ways in which buyers ask: whom, and for what.

use std::net::SocketAddr;

use serde::Serialize;

use super::shop::Share;

/// Whom buyers ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// The only node of its shop.
    Single,
    /// The node that decides.
    Owners,
    /// A node that hands the purchase on.
    Others,
    /// Whichever it is.
    Any,
}

/// What some of the buyers do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Whom they ask.
    pub address: SocketAddr,
    /// What they want.
    pub items: Vec<String>,
}

impl Entry {
    /// All of them; the first is what the others are compared with.
    pub const ALL: [Self; 4] = [Self::Single, Self::Owners, Self::Others, Self::Any];

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Single => "one node",
            Self::Owners => "its owner",
            Self::Others => "another node",
            Self::Any => "any node",
        }
    }

    /// An errand for each of so many parts of the buyers, of a shop whose items fall to its nodes like this.
    pub fn errands(self, shares: &[Share], parts: usize) -> Vec<Errand> {
        let all = || shares.iter().flat_map(|share| share.items.iter().cloned()).collect();
        let errand = |part: usize| {
            let own = &shares[part % shares.len()];
            let next = &shares[(part + 1) % shares.len()];
            match self {
                Self::Owners => Errand { address: own.address, items: own.items.clone() },
                Self::Others => Errand { address: next.address, items: own.items.clone() },
                Self::Single | Self::Any => Errand { address: own.address, items: all() },
            }
        };
        (0..parts).map(errand).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buyers_ask_whom_they_are_to_ask() {
        let share = |port: u16, item: &str| Share {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            items: vec![item.to_owned()],
        };
        let shares = [share(1, "a"), share(2, "b"), share(3, "c")];
        let asked = |entry: Entry| -> Vec<(u16, String)> {
            let errands = entry.errands(&shares, 3).into_iter();
            errands.map(|errand| (errand.address.port(), errand.items.concat())).collect()
        };
        let words = |asked: [(u16, &str); 3]| asked.map(|(port, items)| (port, items.to_owned()));
        assert_eq!(asked(Entry::Owners), words([(1, "a"), (2, "b"), (3, "c")]));
        assert_eq!(asked(Entry::Others), words([(2, "a"), (3, "b"), (1, "c")]));
        assert_eq!(asked(Entry::Any), words([(1, "abc"), (2, "abc"), (3, "abc")]));
        let single = Entry::Single.errands(&shares[..1], 3);
        assert!(single.iter().all(|errand| errand.address.port() == 1 && errand.items == ["a"]));
    }
}
