//! Buy tokens that are not the buyer's to use. Drill 43.

use std::time::Duration;

use hyper::Uri;

use crate::drills::evidence::{Evidence, wants};
use crate::drills::opening::Opening;
use crate::drills::setting::Setting;
use crate::drills::shop::Shop;
use crate::outcome::Outcome;
use crate::scenario::Guard;
use crate::{Error, Result};

/// For how long a token is good here.
const TTL_SECONDS: u64 = 3;

/// 43: a buy token that is forged, expired, another user's, another item's, repeated.
pub async fn wrong_tokens(setting: &Setting) -> Result<Evidence> {
    let ttl = TTL_SECONDS.to_string();
    let environment = [("BUY_TOKEN__TTL_SECONDS", ttl.as_str())];
    let guard = Some(Guard { proof: false, spread_ms: 0 });
    let opening = Opening { guard, environment: &environment, ..Opening::default() };
    let mut shop = Shop::open(setting, opening).await?;
    let (user, other) = (shop.own_user(0), shop.own_user(1));

    let expired = token(&shop, user, 0).await?;
    tokio::time::sleep(Duration::from_secs(TTL_SECONDS + 2)).await;
    let own = token(&shop, user, 0).await?;
    let anothers = token(&shop, other, 0).await?;
    let items = shop.items();
    let given = own.path().rsplit('/').next().unwrap_or_default();
    let other_item = address(&items[1], given)?;
    let forged = address(&items[0], &"A".repeat(48))?;

    let mut criteria = Vec::new();
    let tries = [
        ("none", 0, None),
        ("forged", 0, Some(&forged)),
        ("expired", 0, Some(&expired)),
        ("another user's", 0, Some(&anothers)),
        ("another item's", 1, Some(&other_item)),
    ];
    for (what, item, url) in tries {
        let key = shop.new_key();
        let heard = shop.buy_as(user, item, key, url).await;
        let refused = matches!(heard.status, 401 | 403) && heard.order.is_none();
        criteria.push(wants(what, "401 or 403", heard.status, refused));
    }
    let key = shop.new_key();
    let first = shop.buy_as(user, 0, key, Some(&own)).await;
    let granted = first.outcome == Outcome::Reserved;
    criteria.push(wants("the buyer's own", "201", first.status, granted));
    // The token names the purchase, whatever the request's own id.
    let second = shop.buy_as(user, 0, key, Some(&own)).await;
    let same = second.order.is_some() && second.order == first.order;
    criteria.push(wants("repeated", "200, the same order", second.status, same));
    shop.repaired();
    shop.close(criteria).await
}

async fn token(shop: &Shop, user: u32, item: u32) -> Result<Uri> {
    let url = shop.buy_url(user, item).await?;
    url.ok_or_else(|| Error::Server("there is no buy token".to_owned()))
}

/// Where this item is bought with this token.
fn address(item: &str, token: &str) -> Result<Uri> {
    let path = format!("/api/v1/items/{item}/buy/{token}");
    path.parse().map_err(|_| Error::Server(format!("{path} is no path")))
}
