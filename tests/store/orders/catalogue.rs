//! Sales, buyers and the operators' log.

use super::sample::{NOW, currency};
use domain::catalogue::{Day, Offer, Sale, SaleDraft};
use domain::{SaleId, SaleStatus, SaleStep, StepRefused, Timestamp, UserId};
use seckill::store::catalogue::{Catalogue, CatalogueError, LogEntry, SALES_PAGE_MAX};
use seckill::store::database::Database;
use serde_json::json;

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

async fn create(catalogue: &Catalogue) -> Sale {
    catalogue.create_sale(&draft(&["a", "b"]), "ann", NOW).await.expect("the draft is right")
}

async fn step(
    catalogue: &Catalogue,
    sale_id: SaleId,
    step: SaleStep,
    actor: &str,
) -> Result<Sale, CatalogueError> {
    catalogue.take_step(sale_id, step, actor, None, NOW).await
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
    let edited = catalogue
        .replace_sale(sale.sale_id, &changed, Some(1), "bob", NOW)
        .await
        .expect("a draft can be edited");
    assert_eq!(products(&edited), [("c", 3), ("b", sale.items[1].item_id.0)]);
    assert_eq!(edited.items[1].offer.list_price, None);
    assert_eq!((edited.title.as_str(), edited.edited_by.as_str()), ("another", "bob"));
    assert_eq!(edited.revision, 2);
    let late = catalogue.replace_sale(sale.sale_id, &changed, Some(1), "ann", NOW).await;
    assert_eq!(late, Err(CatalogueError::ChangedMeanwhile));

    catalogue.delete_sale(sale.sale_id, "ann", NOW).await.expect("a draft can be deleted");
    assert_eq!(catalogue.sale(sale.sale_id).await, Ok(None));
    assert_eq!(catalogue.sale_of_item(sale.items[1].item_id).await, Ok(None));
    let gone = catalogue.delete_sale(sale.sale_id, "ann", NOW).await;
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
        let edited = catalogue.replace_sale(sale_id, &draft(&["a"]), None, "ann", NOW).await;
        let is_draft = expected == SaleStatus::Draft;
        assert_eq!(edited.is_ok(), is_draft);
        if !is_draft {
            assert_eq!(edited, Err(CatalogueError::Frozen));
            let deleted = catalogue.delete_sale(sale_id, "ann", NOW).await;
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
    catalogue
        .replace_sale(sale_id, &draft(&["a"]), None, "bob", NOW)
        .await
        .expect("a draft can be edited");
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
        let draft = SaleDraft { starts_at, ends_at, ..draft(&["b", "a"]) };
        catalogue.create_sale(&draft, "ann", NOW).await.expect("the draft is right").sale_id
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
    let refused = catalogue.create_sale(&wrong, "ann", NOW).await;
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
    assert_eq!(create("Zoë").await, Ok(UserId(1_000_000_000_000)));
    for taken in ["Zoë", "zoë", "ZOË", " zoë "] {
        assert_eq!(create(taken).await, Err(CatalogueError::NameTaken), "{taken}");
    }
    let other = create("Zoe").await.expect("another letter, another name");
    assert!(other > UserId(1_000_000_000_000));
    let found = catalogue.user_by_name("zOË").await;
    let expected = (UserId(1_000_000_000_000), "$argon2id$hash".to_owned());
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
        .take_step(sale_id, SaleStep::Submit, "ann", note, NOW.plus_milliseconds(5))
        .await
        .expect("the step is right");
    let refused = step(&catalogue, sale_id, SaleStep::Approve, "ann").await;
    assert!(refused.is_err());
    let restock = LogEntry {
        at: NOW,
        actor: "bob".to_owned(),
        action: "item.restock".to_owned(),
        subject: "item:1".to_owned(),
        detail: json!({ "units": 5, "why": "求购" }),
    };
    catalogue.append_log(&restock).await.expect("the entry is right");

    let log = catalogue.log(None, 10).await.expect("the log is read");
    let actions: Vec<&str> = log.iter().map(|logged| logged.entry.action.as_str()).collect();
    assert_eq!(actions, ["item.restock", "sale.submit", "sale.create"]);
    assert_eq!(log[0].entry, restock);
    assert_eq!(log[1].entry.subject, "sale:1");
    assert_eq!(log[1].entry.at, NOW.plus_milliseconds(5));
    assert_eq!(log[1].entry.detail, json!({ "note": "ready, I think" }));
    let older = catalogue.log(Some(log[1].entry_id), 10).await.expect("the log is read");
    assert_eq!(older, log[2..]);
    let nobody = LogEntry { actor: String::new(), ..restock };
    assert!(matches!(catalogue.append_log(&nobody).await, Err(CatalogueError::Invalid(_))));
}
