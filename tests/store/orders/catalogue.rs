//! Sales, buyers and the operators' log.

use super::sample::{NOW, currency};
use domain::catalogue::{Day, Offer, PictureId, Sale, SaleDraft};
use domain::{Admission, ItemId, RequestId, SaleId, SaleStatus, SaleStep, StepRefused, Timestamp};
use seckill::store::catalogue::{
    Base, Catalogue, CatalogueError, Change, KnownIds, SALES_PAGE_MAX,
};
use seckill::store::database::Database;
use serde_json::json;
use support::engine::guarded;

fn offer(product_id: &str) -> Offer {
    Offer {
        product_id: product_id.to_owned(),
        title: format!("商品 {product_id}"),
        price: 9_900,
        list_price: Some(19_900),
        currency: currency(),
        allotted: 100,
        limit_per_user: 1,
        payment_window_milliseconds: 600_000,
        description: None,
        picture: None,
        admission: guarded(2_000),
        buckets: 3,
    }
}

fn draft(products: &[&str]) -> SaleDraft {
    SaleDraft {
        title: "noon round 中午场".to_owned(),
        starts_at: NOW,
        ends_at: NOW.plus_milliseconds(3_600_000),
        items: products.iter().map(|product_id| offer(product_id)).collect(),
    }
}

fn by(operator: &str) -> Change<'_> {
    Change::by(operator, NOW)
}

/// A change made from this revision.
fn from(revision: u64, operator: &str) -> Change<'_> {
    Change { base: Base::Revision(revision), ..by(operator) }
}

async fn replace(
    catalogue: &Catalogue,
    sale_id: SaleId,
    draft: &SaleDraft,
    change: Change<'_>,
) -> Result<Sale, CatalogueError> {
    Ok(catalogue.replace_sale(sale_id, draft, KnownIds::default(), change).await?.sale)
}

async fn create(catalogue: &Catalogue) -> Sale {
    let made = catalogue.create_sale(&draft(&["a", "b"]), KnownIds::default(), by("ann")).await;
    made.expect("the draft is right").sale
}

async fn step(
    catalogue: &Catalogue,
    sale_id: SaleId,
    step: SaleStep,
    actor: &str,
) -> Result<Sale, CatalogueError> {
    Ok(catalogue.take_step(sale_id, step, None, by(actor)).await?.sale)
}

fn products(sale: &Sale) -> Vec<(&str, u64)> {
    sale.items.iter().map(|item| (item.offer.product_id.as_str(), item.item_id.0)).collect()
}

pub async fn a_draft_is_created_edited_and_deleted(database: Database) {
    let catalogue = Catalogue::new(database);
    let sale = create(&catalogue).await;
    assert_eq!(sale.sale_id, SaleId(1));
    assert_eq!((sale.status, sale.revision), (SaleStatus::Draft, 1));
    assert_eq!(
        sale.items.iter().map(|item| &item.offer).collect::<Vec<_>>(),
        [&offer("a"), &offer("b")]
    );
    assert_eq!(catalogue.sale(sale.sale_id).await, Ok(Some(sale.clone())));
    assert_eq!(catalogue.sale_of_item(sale.items[1].item_id).await, Ok(Some(sale.clone())));

    let mut changed = draft(&["c", "b"]);
    changed.title = "another".to_owned();
    changed.items[1].list_price = None;
    let edited = replace(&catalogue, sale.sale_id, &changed, from(1, "bob")).await;
    let edited = edited.expect("a draft can be edited");
    assert_eq!(products(&edited), [("c", 3), ("b", sale.items[1].item_id.0)]);
    assert_eq!(edited.items[1].offer.list_price, None);
    assert_eq!((edited.title.as_str(), edited.edited_by.as_str()), ("another", "bob"));
    assert_eq!(edited.revision, 2);
    assert_eq!(edited.edits, 1);
    let late = replace(&catalogue, sale.sale_id, &changed, from(1, "ann")).await;
    assert_eq!(late, Err(CatalogueError::OtherRevision { present: 2 }));
    let unsaid = Change { base: Base::Unsaid, ..by("ann") };
    let refused = Err(CatalogueError::RevisionUnsaid { present: 2 });
    assert_eq!(replace(&catalogue, sale.sale_id, &changed, unsaid).await, refused);
    let step = catalogue.take_step(sale.sale_id, SaleStep::Submit, None, unsaid).await;
    assert_eq!(step.map(|changed| changed.sale), refused);
    assert_eq!(
        catalogue.delete_sale(sale.sale_id, from(1, "ann")).await,
        Err(CatalogueError::OtherRevision { present: 2 })
    );

    let deleted = catalogue.delete_sale(sale.sale_id, from(2, "ann")).await;
    deleted.expect("a draft can be deleted");
    assert_eq!(catalogue.sale(sale.sale_id).await, Ok(None));
    assert_eq!(catalogue.sale_of_item(sale.items[1].item_id).await, Ok(None));
    let gone = catalogue.delete_sale(sale.sale_id, by("ann")).await;
    assert_eq!(gone, Err(CatalogueError::SaleNotFound));
    let next = create(&catalogue).await;
    assert_eq!(next.sale_id, SaleId(2), "numbers are not used again");
}

pub async fn a_sale_goes_its_way_and_is_frozen_on_it(database: Database) {
    let catalogue = Catalogue::new(database);
    let sale_id = create(&catalogue).await.sale_id;
    let way = [
        (SaleStep::Submit, "ann", SaleStatus::Submitted),
        (SaleStep::Reject, "bob", SaleStatus::Rejected),
        (SaleStep::Revise, "ann", SaleStatus::Draft),
        (SaleStep::Submit, "ann", SaleStatus::Submitted),
        (SaleStep::Approve, "bob", SaleStatus::Approved),
        (SaleStep::Preheat, "engine", SaleStatus::Preheated),
        (SaleStep::End, "ann", SaleStatus::Ended),
        (SaleStep::Settle, "engine", SaleStatus::Settled),
    ];
    for (next, actor, expected) in way {
        let sale = step(&catalogue, sale_id, next, actor).await.expect("the step is right");
        assert_eq!(sale.status, expected);
        assert_eq!(catalogue.sale(sale_id).await, Ok(Some(sale)));
        let edited = replace(&catalogue, sale_id, &draft(&["a"]), by("ann")).await;
        let is_draft = expected == SaleStatus::Draft;
        assert_eq!(edited.is_ok(), is_draft);
        if !is_draft {
            assert_eq!(edited, Err(CatalogueError::Frozen));
            let deleted = catalogue.delete_sale(sale_id, by("ann")).await;
            assert_eq!(deleted, Err(CatalogueError::Frozen));
        }
    }
    let sale = catalogue.sale(sale_id).await.expect("the sale is read").expect("it is there");
    assert_eq!(sale.submitted, Some(("ann".to_owned(), NOW)));
    assert_eq!(sale.approved, Some(("bob".to_owned(), NOW)));
    let gone = step(&catalogue, SaleId(99), SaleStep::Submit, "ann").await;
    assert_eq!(gone, Err(CatalogueError::SaleNotFound));
}

pub async fn nobody_approves_their_own_sale(database: Database) {
    let catalogue = Catalogue::new(database);
    let sale_id = create(&catalogue).await.sale_id;
    let edited = replace(&catalogue, sale_id, &draft(&["a"]), by("bob")).await;
    edited.expect("a draft can be edited");
    step(&catalogue, sale_id, SaleStep::Submit, "cem").await.expect("the step is right");
    for maker in ["ann", "Bob", "cem"] {
        let judged = step(&catalogue, sale_id, SaleStep::Approve, maker).await;
        assert_eq!(judged, Err(CatalogueError::Refused(StepRefused::OwnWork)));
    }
    step(&catalogue, sale_id, SaleStep::Approve, "dan").await.expect("another person");
}

pub async fn of_two_steps_at_once_one_wins(database: Database) {
    let catalogue = Catalogue::new(database);
    let sale_id = create(&catalogue).await.sale_id;
    step(&catalogue, sale_id, SaleStep::Submit, "ann").await.expect("the step is right");
    let take = |next| {
        let catalogue = catalogue.clone();
        tokio::spawn(async move { step(&catalogue, sale_id, next, "dan").await })
    };
    let (approval, rejection) = (take(SaleStep::Approve), take(SaleStep::Reject));
    let approval = approval.await.expect("it ends");
    let rejection = rejection.await.expect("it ends");
    assert_ne!(approval.is_ok(), rejection.is_ok(), "{approval:?} {rejection:?}");
    let winner = if approval.is_ok() { SaleStatus::Approved } else { SaleStatus::Rejected };
    let sale = catalogue.sale(sale_id).await.expect("the sale is read").expect("it is there");
    assert_eq!((sale.status, sale.revision), (winner, 3));
}

pub async fn sales_are_listed_newest_first_by_status(database: Database) {
    let catalogue = Catalogue::new(database);
    for _ in 0..12 {
        create(&catalogue).await;
    }
    for sale_id in [SaleId(3), SaleId(5)] {
        step(&catalogue, sale_id, SaleStep::Submit, "ann").await.expect("the step is right");
    }
    let list = async |statuses: &[SaleStatus], before, limit| -> Vec<u64> {
        let sales = catalogue.sales(statuses, before, limit).await.expect("sales are read");
        assert!(sales.iter().all(|sale| sale.items.len() == 2));
        sales.iter().map(|sale| sale.sale_id.0).collect()
    };
    assert_eq!(list(&[], None, 3).await, [12, 11, 10]);
    assert_eq!(list(&[], Some(SaleId(10)), 100).await, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(list(&[SaleStatus::Submitted], None, 100).await, [5, 3]);
    assert_eq!(list(&[SaleStatus::Draft], Some(SaleId(6)), 2).await, [4, 2]);
    assert_eq!(list(&[SaleStatus::Settled], None, 100).await, [0; 0]);
}

pub async fn a_day_has_the_public_sales_whose_window_touches_it(database: Database) {
    let catalogue = Catalogue::new(database);
    let day: Day = "2026-11-21".parse().expect("a day");
    let window = day.window();
    let (start, end) = (window.start.0, window.end.0);
    let create = async |starts_at: u64, ends_at: u64| {
        let (starts_at, ends_at) = (Timestamp(starts_at), Timestamp(ends_at));
        let mut draft = SaleDraft { starts_at, ends_at, ..draft(&["b", "a"]) };
        // A sale of a moment has no room for slots.
        draft.items.iter_mut().for_each(|offer| offer.admission = Admission::OPEN);
        let made = catalogue.create_sale(&draft, KnownIds::default(), by("ann")).await;
        made.expect("the draft is right").sale.sale_id
    };
    let approve = async |sale_id| {
        step(&catalogue, sale_id, SaleStep::Submit, "ann").await.expect("the step is right");
        step(&catalogue, sale_id, SaleStep::Approve, "bob").await.expect("the step is right");
    };
    let shown = async || {
        let sales = catalogue.sales_of_day(day).await.expect("sales are read");
        let ids: Vec<SaleId> = sales.sales.iter().map(|sale| sale.sale_id).collect();
        (ids, sales.has_more)
    };
    assert_eq!(shown().await, (vec![], false));
    let last = create(end - 1, end + 1).await;
    let first = create(start - 1, start + 1).await;
    for (starts_at, ends_at) in [(start - 5, start), (end, end + 5)] {
        approve(create(starts_at, ends_at).await).await;
    }
    assert_eq!(shown().await, (vec![], false), "drafts are nobody's business");
    approve(last).await;
    approve(first).await;
    assert_eq!(shown().await, (vec![first, last], false));
    step(&catalogue, first, SaleStep::End, "ann").await.expect("the step is right");
    let sales = catalogue.sales_of_day(day).await.expect("sales are read").sales;
    let sale = catalogue.sale(first).await.expect("the sale is read").expect("it is there");
    assert_eq!((sales[0].status, Some(&sales[0])), (SaleStatus::Ended, sale.public().as_ref()));
    let products: Vec<&str> = sales[0].items.iter().map(|item| item.product_id.as_str()).collect();
    assert_eq!(products, ["b", "a"]);
    for _ in 2..=SALES_PAGE_MAX {
        approve(create(start, end).await).await;
    }
    let (ids, has_more) = shown().await;
    assert_eq!((ids.len(), ids[0], has_more), (SALES_PAGE_MAX, first, true));
}

pub async fn a_sale_with_invalid_fields_is_refused(database: Database) {
    let catalogue = Catalogue::new(database);
    let mut wrong = draft(&["a", "a"]);
    wrong.title.clear();
    let refused = catalogue.create_sale(&wrong, KnownIds::default(), by("ann")).await;
    let Err(CatalogueError::Invalid(problems)) = refused else {
        panic!("{refused:?}");
    };
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["title", "items[1].product_id"]);
    assert_eq!(catalogue.sales(&[], None, 10).await, Ok(vec![]));
}

pub async fn user_names_are_unique_without_regard_to_case(database: Database) {
    let catalogue = Catalogue::new(database);
    let create = async |name| catalogue.create_user(name, "$argon2id$hash", NOW).await;
    let zoe = create("Zoë").await.expect("a new name");
    assert!((1_000_000_000_000..1 << 53).contains(&zoe.0), "{zoe}");
    for taken in ["Zoë", "zoë", "ZOË", " zoë "] {
        assert_eq!(create(taken).await, Err(CatalogueError::NameTaken), "{taken}");
    }
    let other = create("Zoe").await.expect("another letter, another name");
    assert_ne!(other, zoe, "numbers are random");
    let found = catalogue.user_by_name("zOË").await;
    let expected = (zoe, "$argon2id$hash".to_owned());
    assert_eq!(found, Ok(Some(expected)));
    assert_eq!(catalogue.user_by_name("nobody").await, Ok(None));
    for invalid in ["", "  ", "a\u{0}b", &"x".repeat(65)] {
        assert!(matches!(create(invalid).await, Err(CatalogueError::Invalid(_))), "{invalid:?}");
    }
}

pub async fn what_operators_do_is_logged(database: Database) {
    let catalogue = Catalogue::new(database);
    let sale_id = create(&catalogue).await.sale_id;
    let note = Some("ready, I think");
    catalogue
        .take_step(
            sale_id,
            SaleStep::Submit,
            note,
            Change { at: NOW.plus_milliseconds(5), ..by("ann") },
        )
        .await
        .expect("the step is right");
    let refused = step(&catalogue, sale_id, SaleStep::Approve, "ann").await;
    assert!(refused.is_err());
    let log = catalogue.log(None, 10).await.expect("the log is read");
    let actions: Vec<&str> = log.iter().map(|logged| logged.entry.action.as_str()).collect();
    assert_eq!(actions, ["sale.submit", "sale.create"]);
    assert_eq!(log[0].entry.subject, "sale:1");
    assert_eq!(log[0].entry.at, NOW.plus_milliseconds(5));
    assert_eq!(log[0].entry.detail, json!({ "note": "ready, I think" }));
    let older = catalogue.log(Some(log[0].entry_id), 10).await.expect("the log is read");
    assert_eq!(older, log[1..]);
    let nobody = catalogue.take_step(sale_id, SaleStep::Withdraw, None, by("")).await;
    assert!(matches!(nobody, Err(CatalogueError::Invalid(_))));
}

pub async fn a_repeated_request_changes_nothing(database: Database) {
    let catalogue = Catalogue::new(database);
    let keyed = |request| Change { request_id: Some(RequestId(request)), ..by("ann") };
    let known = KnownIds::default();
    let draft = draft(&["a", "b"]);
    let made = catalogue.create_sale(&draft, known, keyed(u64::MAX)).await.expect("a draft");
    let again = catalogue.create_sale(&draft, known, keyed(u64::MAX)).await.expect("a repeat");
    assert_eq!((again.is_repeat, &again.sale), (true, &made.sale));
    let other = SaleDraft { title: "another".to_owned(), ..draft.clone() };
    let reused = Err(CatalogueError::KeyReused);
    assert_eq!(catalogue.create_sale(&other, known, keyed(u64::MAX)).await, reused);

    let sale_id = made.sale.sale_id;
    let edit = Change { base: Base::Revision(1), ..keyed(2) };
    let edited = catalogue.replace_sale(sale_id, &other, known, edit).await.expect("an edit");
    // Though the sale is at another revision by now.
    let again = catalogue.replace_sale(sale_id, &other, known, edit).await.expect("a repeat");
    assert_eq!((again.is_repeat, again.sale), (true, edited.sale));
    let submit = |change| catalogue.take_step(sale_id, SaleStep::Submit, None, change);
    assert_eq!(submit(keyed(2)).await, reused);
    let submitted = submit(keyed(3)).await.expect("a step");
    let again = submit(keyed(3)).await.expect("a repeat");
    assert_eq!((again.is_repeat, again.sale), (true, submitted.sale));
    assert_eq!(catalogue.log(None, 10).await.expect("the log is read").len(), 3);

    let deleted = catalogue.create_sale(&draft, known, keyed(4)).await.expect("a draft").sale;
    catalogue.delete_sale(deleted.sale_id, keyed(5)).await.expect("deleted");
    catalogue.delete_sale(deleted.sale_id, keyed(5)).await.expect("a repeat");
}

pub async fn numbers_are_above_those_that_journals_have_seen(database: Database) {
    let catalogue = Catalogue::new(database);
    let known = KnownIds { sale_id: SaleId(40), item_id: ItemId(70) };
    let draft = draft(&["a", "b"]);
    let made = catalogue.create_sale(&draft, known, by("ann")).await.expect("a draft").sale;
    assert_eq!((made.sale_id, products(&made)), (SaleId(41), vec![("a", 71), ("b", 72)]));
    let edited = SaleDraft { title: "x".to_owned(), ..self::draft(&["c", "b"]) };
    let edited = replace(&catalogue, made.sale_id, &edited, by("ann")).await.expect("an edit");
    assert_eq!(products(&edited), [("c", 73), ("b", 72)]);
    let next = create(&catalogue).await;
    assert_eq!((next.sale_id, products(&next)), (SaleId(42), vec![("a", 74), ("b", 75)]));
}

pub async fn pictures_are_kept_once_and_named_by_drafts(database: Database) {
    let catalogue = Catalogue::new(database);
    let (picture, other) = (PictureId([1; 32]), PictureId([2; 32]));
    assert_eq!(catalogue.picture(picture).await, Ok(None));
    assert_eq!(catalogue.keep_picture(picture, b"pixels", by("ann")).await, Ok(true));
    assert_eq!(catalogue.keep_picture(picture, b"others", by("bob")).await, Ok(false));
    assert_eq!(catalogue.picture(picture).await, Ok(Some(b"pixels".to_vec())));

    let mut draft = draft(&["a", "b"]);
    draft.items[1].picture = Some(other);
    let refused = catalogue.create_sale(&draft, KnownIds::default(), by("ann")).await;
    let Err(CatalogueError::Invalid(problems)) = refused else { panic!("{refused:?}") };
    assert_eq!(problems[0].field, "items[1].picture");
    draft.items[1].picture = Some(picture);
    draft.items[1].description = Some("一\n二".to_owned());
    let made = catalogue.create_sale(&draft, KnownIds::default(), by("ann")).await;
    let sale = made.expect("the picture is there").sale;
    assert_eq!(sale.items[1].offer, draft.items[1]);
    assert_eq!(catalogue.sale(sale.sale_id).await, Ok(Some(sale.clone())));

    draft.items[0].picture = Some(other);
    let refused = replace(&catalogue, sale.sale_id, &draft, from(1, "ann")).await;
    assert!(matches!(refused, Err(CatalogueError::Invalid(_))), "{refused:?}");
    draft.items[0].picture = None;
    draft.items[1].picture = None;
    let sale = replace(&catalogue, sale.sale_id, &draft, from(1, "ann")).await;
    assert_eq!(sale.expect("the revision is there").items[1].offer, draft.items[1]);
}

pub async fn users_of_another_issuer_have_one_number_on_all_nodes(database: Database) {
    let issuer = "https://login.mall.example";
    let catalogue = Catalogue::new(database.clone());
    let first = catalogue.external_user(issuer, "用户-1", NOW).await.expect("a number");
    assert!((1_000_000_000_000..1 << 53).contains(&first.0), "{first}");
    for (issuer, subject, is_same) in [
        (issuer, "用户-1", true),
        (issuer, "用户-2", false),
        // A collation would call some of these alike.
        (issuer, "用户-1 ", false),
        ("https://login.mall.example/", "用户-1", false),
        ("https://LOGIN.mall.example", "用户-1", false),
    ] {
        let found = catalogue.external_user(issuer, subject, NOW).await.expect("a number");
        assert_eq!(found == first, is_same, "{issuer} {subject:?}");
    }
    let (lower, upper) = ("u-a", "U-A");
    let lower = catalogue.external_user(issuer, lower, NOW).await.expect("a number");
    assert_ne!(catalogue.external_user(issuer, upper, NOW).await, Ok(lower));
    // Nodes that see somebody for the first time at the same moment.
    let nodes: Vec<_> = (0..8)
        .map(|_| {
            let catalogue = Catalogue::new(database.clone());
            tokio::spawn(async move {
                let mut numbers = Vec::new();
                for subject in 0..20 {
                    let subject = format!("crowd-{subject}");
                    numbers.push(catalogue.external_user(issuer, &subject, NOW).await);
                }
                numbers
            })
        })
        .collect();
    let mut agreed: Option<Vec<_>> = None;
    for node in nodes {
        let numbers = node.await.expect("it lives");
        assert!(numbers.iter().all(Result::is_ok), "{numbers:?}");
        assert_eq!(agreed.get_or_insert_with(|| numbers.clone()), &numbers);
    }
    for (issuer, subject) in [("", "a"), (issuer, ""), (issuer, "a\u{0}b")] {
        let refused = catalogue.external_user(issuer, subject, NOW).await;
        assert!(matches!(refused, Err(CatalogueError::Invalid(_))), "{subject:?} {refused:?}");
    }
    let long = "双".repeat(86);
    let refused = catalogue.external_user(issuer, &long, NOW).await;
    assert!(matches!(refused, Err(CatalogueError::Invalid(_))), "{refused:?}");
    let longest = "双".repeat(85);
    assert!(catalogue.external_user(issuer, &longest, NOW).await.is_ok());
}
