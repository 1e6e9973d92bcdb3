//! The button's states, row by row, in the browser that shows them.

use super::support::in_browser;

#[tokio::test(flavor = "multi_thread")]
async fn the_button_says_and_does_what_its_table_has() {
    in_browser(&[], async |_, [browser]| {
        browser.open_page("/en/").await;
        let table = include_str!("button_table.js");
        let table = table.split_once("\n(button)").map_or(table, |(_, table)| table);
        let script = format!(
            "const done = arguments[arguments.length - 1]; const table = (button){table};\n\
             const any = document.querySelector('script[src$=\"session.js\"]').src;\n\
             import(any.replace('session.js', 'button.js')).then(table).then(done, (error) => done([String(error)]));"
        );
        let wrong = browser.run_to_end(&script).await;
        assert_eq!(wrong, serde_json::json!([]), "the button's table");
    })
    .await;
}
