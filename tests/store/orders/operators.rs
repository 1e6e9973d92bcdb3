//! The accounts of operators.

use super::sample::NOW;
use domain::{OperatorRoles, Timestamp};
use seckill::store::catalogue::{Acceptance, Catalogue, CatalogueError, OperatorAccount};
use seckill::store::database::Database;
use secrecy::ExposeSecret;
use serde_json::json;

fn after(milliseconds: u64) -> Timestamp {
    NOW.plus_milliseconds(milliseconds)
}

fn roles(text: &str) -> OperatorRoles {
    text.parse().expect("roles")
}

/// Accepts a link of this name that was made at one time, at another.
async fn accept(
    catalogue: &Catalogue,
    name: &str,
    issued_at: u64,
    now: u64,
) -> Result<OperatorAccount, CatalogueError> {
    let (issued_at, now) = (after(issued_at), after(now));
    let (roles, password_hash) = (roles("operator"), "$argon2id$hash");
    catalogue.accept_operator(Acceptance { name, roles, issued_at, password_hash, now }).await
}

async fn logged(catalogue: &Catalogue) -> Vec<(String, String, String)> {
    let entries = catalogue.log(None, 100).await.expect("the log is read");
    let entries = entries.into_iter().rev().map(|logged| logged.entry);
    entries.map(|entry| (entry.actor, entry.action, entry.subject)).collect()
}

pub async fn a_link_is_good_once(database: Database) {
    let catalogue = Catalogue::new(database);
    assert!(catalogue.operator("eva").await.expect("it is read").is_none());
    let eva = accept(&catalogue, "Eva", 0, 10).await.expect("a new name");
    assert_eq!((eva.name.as_str(), eva.changed_at, eva.is_disabled), ("Eva", after(10), false));
    let found = catalogue.operator("eVA").await.expect("it is read").expect("it is there");
    assert_eq!((found.generation, found.roles), (eva.generation, roles("operator")));
    assert_eq!(found.password_hash.expect("a hash").expose_secret(), "$argon2id$hash");

    let again = accept(&catalogue, "Eva", 0, 20).await.expect_err("it was used");
    assert_eq!(again, CatalogueError::LinkUsed);
    // One that was made before the account was changed, too; and one of the same instant.
    for issued_at in [5, 10] {
        let older = accept(&catalogue, "eva", issued_at, 20).await.expect_err("it is older");
        assert_eq!(older, CatalogueError::LinkUsed);
    }
    // By a clock that is behind the one that made the link.
    let reset = accept(&catalogue, "eva", 500, 400).await.expect("a newer link");
    assert!(reset.generation > eva.generation);
    assert_eq!((reset.name.as_str(), reset.changed_at), ("Eva", after(500)));
    let again = accept(&catalogue, "eva", 500, 600).await.expect_err("it was used");
    assert_eq!(again, CatalogueError::LinkUsed);

    accept(&catalogue, "王伟", 0, 10).await.expect("another name");
    let all = catalogue.operators().await.expect("they are read");
    let names: Vec<&str> = all.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["Eva", "王伟"]);
    let entries = catalogue.log(None, 1).await.expect("the log is read");
    assert_eq!(entries[0].entry.detail, json!({ "roles": "operator" }));
}

pub async fn a_disabled_account_is_over_and_its_tokens_too(database: Database) {
    let catalogue = Catalogue::new(database);
    let eva = accept(&catalogue, "eva", 0, 10).await.expect("a new name");
    assert_eq!(eva.tokens_from, Timestamp(0));
    let disable = async |name, is_disabled, now| {
        catalogue.disable_operator(name, is_disabled, "bo", after(now)).await
    };
    let disabled = disable("EVA", true, 20).await.expect("it is disabled");
    assert!(disabled.is_disabled && disabled.generation > eva.generation);
    assert_eq!(disabled.tokens_from, after(20));
    let repeated = disable("eva", true, 30).await.expect("it is still");
    assert_eq!((repeated.generation, repeated.tokens_from), (disabled.generation, after(20)));
    let link = accept(&catalogue, "eva", 40, 50).await.expect_err("it is disabled");
    assert_eq!(link, CatalogueError::OperatorDisabled);

    let enabled = disable("eva", false, 60).await.expect("it is enabled");
    assert!(!enabled.is_disabled && enabled.generation > disabled.generation);
    assert_eq!(enabled.tokens_from, after(20), "what was revoked stays so");
    assert!(enabled.password_hash.is_some());
    let older = accept(&catalogue, "eva", 40, 70).await.expect_err("made before the change");
    assert_eq!(older, CatalogueError::LinkUsed);

    // A name without an account has tokens, too.
    let nobody = disable("cem", true, 80).await.expect("its tokens are revoked");
    assert!(nobody.is_disabled && nobody.password_hash.is_none());
    let unknown = disable("dan", false, 80).await.expect_err("there is none");
    assert_eq!(unknown, CatalogueError::OperatorNotFound);
    let entry = |actor: &str, action: &str, subject: &str| {
        (actor.to_owned(), format!("operator.{action}"), format!("operator:{subject}"))
    };
    assert_eq!(
        logged(&catalogue).await,
        [
            entry("eva", "accept", "eva"),
            entry("bo", "disable", "eva"),
            entry("bo", "enable", "eva"),
            entry("bo", "disable", "cem"),
        ]
    );
}

pub async fn of_two_acceptances_at_once_one_wins(database: Database) {
    let catalogue = Catalogue::new(database);
    for issued_at in [0, 1_000] {
        let accepting = (0..2).map(|_| {
            let catalogue = catalogue.clone();
            tokio::spawn(async move { accept(&catalogue, "eva", issued_at, issued_at + 10).await })
        });
        let mut accepted = 0;
        for acceptance in accepting.collect::<Vec<_>>() {
            accepted += usize::from(acceptance.await.expect("it ends").is_ok());
        }
        assert_eq!(accepted, 1);
    }
}
