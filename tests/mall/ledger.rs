//! The orders as the order store has them: what each receiver has to have in the end.

use crate::support::Server;
use crate::support::hooks::ask;
use std::collections::BTreeMap;

/// All orders, by their identity.
#[derive(Clone, Debug)]
pub struct Ledger(BTreeMap<u64, Row>);

#[derive(Clone, Debug)]
struct Row {
    item: u64,
    user: u64,
    amount: u64,
    status: String,
}

impl Ledger {
    /// Reads the file of all orders that operators can have; none while the order store is busy.
    pub async fn read(server: &Server, operator: &str) -> Option<Self> {
        let file = ask(server, "GET", "/api/v1/admin/orders?format=csv", operator, "").await;
        if file.status == 503 {
            return None;
        }
        assert_eq!(file.status, 200, "{}", file.text());
        let mut lines = file.text().lines();
        let head: Vec<&str> = lines.next().expect("a head").split(',').collect();
        let place = |name: &str| head.iter().position(|found| *found == name).expect("a column");
        let places = ["order_id", "item_id", "user_id", "amount", "status"].map(place);
        let row = |line: &str| {
            // Texts that people wrote stand behind all of these.
            let fields: Vec<&str> = line.split(',').collect();
            let [order, item, user, amount, status] = places.map(|place| fields[place]);
            let number = |text: &str| text.parse().expect("a number");
            let (item, user, amount) = (number(item), number(user), number(amount));
            (number(order), Row { item, user, amount, status: status.to_owned() })
        };
        Some(Self(lines.map(row).collect()))
    }

    /// How many orders there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether some order of the item is neither paid nor over.
    pub fn is_reserved(&self, item: u64) -> bool {
        self.0.values().any(|row| row.item == item && row.status == "reserved")
    }

    /// The identities of all orders.
    pub fn orders(&self) -> Vec<u64> {
        self.0.keys().copied().collect()
    }

    /// The status of each order.
    pub fn statuses(&self) -> BTreeMap<u64, &str> {
        self.0.iter().map(|(order, row)| (*order, row.status.as_str())).collect()
    }

    /// What each order that is paid has brought in.
    pub fn paid(&self) -> BTreeMap<u64, u64> {
        let paid = self.0.iter().filter(|(_, row)| row.status == "paid");
        paid.map(|(order, row)| (*order, row.amount)).collect()
    }

    /// What each buyer has paid, together.
    pub fn spent(&self) -> BTreeMap<u64, u64> {
        let mut spent = BTreeMap::new();
        for row in self.0.values().filter(|row| row.status == "paid") {
            *spent.entry(row.user).or_default() += row.amount;
        }
        spent
    }
}
