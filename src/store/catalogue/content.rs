//! What a request says beside the sale that it names: by its digest the same request is told from another
//! one with the same key.
//!
//! Must not know what becomes of the request.

use domain::Admission;
use domain::catalogue::{Offer, SaleDraft};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The digest of a request's content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Content {
    digest: u64,
    /// What version 0.1.0 made of it, whose notes are still compared.
    former: u64,
}

impl Content {
    /// Of a request that says no more than its path.
    pub(super) const NONE: Self = Self { digest: 0, former: 0 };

    /// Of a request that writes a draft.
    pub(super) fn of(draft: &SaleDraft) -> Self {
        let former = xxh3_64(format!("{draft:?}").as_bytes());
        Self { digest: digest(draft), former }
    }

    /// What to note of it.
    pub(super) fn to_note(self) -> i64 {
        self.digest.cast_signed()
    }

    /// Whether `noted` is what was noted of it, by this version or the one before.
    pub(super) fn is_noted_as(self, noted: i64) -> bool {
        let noted = noted.cast_unsigned();
        noted == self.digest || noted == self.former
    }
}

/// What stands before a description in the digest.
const DESCRIPTION: u64 = 1;
/// What stands before a picture's name.
const PICTURE: u64 = 2;
/// What stands before an admission's number.
const ADMISSION: u64 = 3;
/// What stands before a number of buckets.
const BUCKETS: u64 = 4;

/// Every field in its order, each with a length or of a fixed one, so that no two drafts read alike.
fn digest(draft: &SaleDraft) -> u64 {
    let SaleDraft { title, starts_at, ends_at, items } = draft;
    let mut digest = Xxh3::new();
    add_text(&mut digest, title);
    add_number(&mut digest, starts_at.0);
    add_number(&mut digest, ends_at.0);
    add_number(&mut digest, items.len() as u64);
    for offer in items {
        let Offer {
            product_id,
            title,
            price,
            list_price,
            currency,
            allotted,
            limit_per_user,
            payment_window_milliseconds,
            description: _,
            picture: _,
            admission: _,
            buckets: _,
        } = offer;
        add_text(&mut digest, product_id);
        add_text(&mut digest, title);
        add_number(&mut digest, *price);
        add_number(&mut digest, u64::from(list_price.is_some()));
        add_number(&mut digest, list_price.unwrap_or_default());
        add_text(&mut digest, currency.as_str());
        add_number(&mut digest, u64::from(*allotted));
        add_number(&mut digest, u64::from(*limit_per_user));
        add_number(&mut digest, *payment_window_milliseconds);
    }
    // What came later is behind all of that, and only where there is any: a draft without it has the
    // digest that it always had.
    for (position, offer) in items.iter().enumerate() {
        if let Some(description) = &offer.description {
            add_number(&mut digest, position as u64);
            add_number(&mut digest, DESCRIPTION);
            add_text(&mut digest, description);
        }
        if let Some(picture) = &offer.picture {
            add_number(&mut digest, position as u64);
            add_number(&mut digest, PICTURE);
            digest.update(&picture.0);
        }
        if offer.admission != Admission::OPEN {
            add_number(&mut digest, position as u64);
            add_number(&mut digest, ADMISSION);
            add_number(&mut digest, offer.admission.number());
        }
        if offer.buckets != 1 {
            add_number(&mut digest, position as u64);
            add_number(&mut digest, BUCKETS);
            add_number(&mut digest, offer.buckets.into());
        }
    }
    digest.digest()
}

fn add_text(digest: &mut Xxh3, text: &str) {
    add_number(digest, text.len() as u64);
    digest.update(text.as_bytes());
}

fn add_number(digest: &mut Xxh3, number: u64) {
    digest.update(&number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::catalogue::PictureId;
    use domain::{Currency, Timestamp};
    use std::collections::HashSet;

    fn draft() -> SaleDraft {
        let offer = |product_id: &str, list_price| Offer {
            product_id: product_id.to_owned(),
            title: "Pear \"双\"".to_owned(),
            price: 100,
            list_price,
            currency: Currency::CNY,
            allotted: 7,
            limit_per_user: 1,
            payment_window_milliseconds: 60_000,
            description: None,
            picture: None,
            admission: Admission::OPEN,
            buckets: 1,
        };
        SaleDraft {
            title: "Fruit".to_owned(),
            starts_at: Timestamp(1),
            ends_at: Timestamp(2),
            items: vec![offer("pear", None), offer("fig", Some(200))],
        }
    }

    #[test]
    fn notes_mean_what_they_meant() {
        const NOW: u64 = 1_898_687_940_441_627_982;
        const FORMER: u64 = 12_023_570_228_880_743_431;
        let content = Content::of(&draft());
        assert_eq!(content, Content { digest: NOW, former: FORMER }, "notes of before");
        assert!(content.is_noted_as(content.to_note()));
        assert!(content.is_noted_as(content.former.cast_signed()));
        assert!(!content.is_noted_as(Content::NONE.to_note()));
        assert!(Content::NONE.is_noted_as(0));
    }

    #[test]
    fn every_field_counts() {
        let changes: [fn(&mut SaleDraft); 20] = [
            |draft| draft.items[0].buckets = 2,
            |draft| draft.items[1].buckets = 2,
            |draft| draft.items[0].admission.buy_token = true,
            |draft| draft.items[1].admission.buy_token = true,
            |draft| draft.title.push('s'),
            |draft| draft.starts_at.0 += 1,
            |draft| draft.ends_at.0 += 1,
            |draft| drop(draft.items.pop()),
            |draft| draft.items[0].product_id.push('s'),
            |draft| draft.items[0].title.push('s'),
            |draft| draft.items[0].price += 1,
            |draft| draft.items[0].list_price = Some(0),
            |draft| draft.items[1].currency = Currency::parse("EUR").expect("a code"),
            |draft| draft.items[1].allotted += 1,
            |draft| draft.items[1].limit_per_user += 1,
            |draft| draft.items[1].payment_window_milliseconds += 1,
            |draft| draft.items[0].description = Some("red".to_owned()),
            |draft| draft.items[1].description = Some("red".to_owned()),
            |draft| draft.items[0].picture = Some(PictureId([0; 32])),
            |draft| draft.items[1].picture = Some(PictureId([0; 32])),
        ];
        let mut digests = HashSet::from([digest(&draft())]);
        for (place, change) in changes.into_iter().enumerate() {
            let mut changed = draft();
            change(&mut changed);
            assert!(digests.insert(Content::of(&changed).digest), "change {place}");
        }
    }
}
