//! The console's lists and files: what is asked for of them that is not there, and fields in which nothing is seen.

use super::sale_fields;
use crate::browser::{Browser, hidden};
use support::Shop;

#[tokio::test]
async fn a_place_that_no_list_shows_is_told_and_leads_to_the_beginning() {
    let shop = Shop::open().await;
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    for (list, beginning) in [
        ("/console/sales?", "/console/sales"),
        ("/console/orders?status=paid&", "/console/orders?status=paid"),
        ("/console/refunds?state=refunded&", "/console/refunds?state=refunded"),
        ("/console/log?", "/console/log"),
        ("/console/rules?", "/console/rules"),
        ("/console/rules/limits?", "/console/rules/limits"),
    ] {
        for place in ["x", "-1", "", "1e3", "99999999999999999999999"] {
            let path = format!("{list}starting_after={place}");
            let page = eva.get(&path).await;
            assert_eq!(page.status, 422, "{path}: {}", page.text());
            let text = page.text();
            assert!(text.contains("This place in the list is not known"), "{path}: {text}");
            let link = format!("href=\"{beginning}\"");
            assert!(text.contains(&link), "{path}: {text}");
        }
        assert_eq!(eva.get(beginning).await.status, 200, "{beginning}");
        let program = eva.ask_for("application/json", &format!("{list}starting_after=x")).await;
        assert_eq!(program.problem(), (422, "invalid_field".to_owned()));
        assert_eq!(program.json()["errors"][0]["pointer"], "starting_after");
    }
}

#[tokio::test]
async fn a_file_is_for_excel_if_that_is_said_as_the_api_has_it() {
    let shop = Shop::open().await;
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    for file in ["/console/orders.csv", "/console/refunds.csv"] {
        for (query, has_mark) in [("", false), ("?excel=false", false), ("?excel=true", true)] {
            let sent = eva.get(&format!("{file}{query}")).await;
            assert_eq!(sent.status, 200, "{file}{query}: {}", sent.text());
            assert_eq!(sent.body.starts_with(b"\xEF\xBB\xBF"), has_mark, "{file}{query}");
        }
        for value in ["on", "1", "yes", "TRUE", ""] {
            let path = format!("{file}?excel={value}");
            let page = eva.get(&path).await;
            assert_eq!(page.status, 422, "{path}");
            assert!(page.text().contains("<code>excel</code>"), "{path}: {}", page.text());
            let told = eva.ask_for("*/*", &path).await.json();
            assert_eq!(told["detail"], "excel: must be true or false", "{path}");
        }
    }
}

#[tokio::test]
async fn a_title_of_what_cannot_be_seen_is_none() {
    let shop = Shop::open().await;
    let mut eva = Browser::accept(&shop, shop.address, "eva", "operator").await;
    let form = eva.get("/console/sales/new").await;
    let key = hidden(form.text(), "key").to_owned();
    let mut fields = sale_fields("\u{200b}", "9.90");
    let item = fields.iter_mut().find(|(name, _)| *name == "items-0-title").expect("a title");
    item.1 = "\u{feff} \u{2060}";
    fields.push(("key", &key));
    let refused = eva.submit("/console/sales/new", &fields).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    for field in ["title", "items-0-title"] {
        let text = refused.text();
        assert!(text.contains(&format!("href=\"#{field}\"")), "{field}: {text}");
    }
    let mut body = shop.draft(&[support::offer("pear", 1)]);
    body["title"] = "\u{200b}".into();
    let refused = shop.post("/api/v1/admin/sales", &shop.operator("ann"), Some(body)).await;
    assert_eq!(refused.problem(), (422, "invalid_field".to_owned()));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/title");
}
