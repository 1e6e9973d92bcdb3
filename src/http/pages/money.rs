//! Amounts of money as people of a language write them. The digits behind the point are the currency's own
//! ([`Currency::exponent`]).

use super::language::Language;
use super::words::grouped;
use domain::Currency;

/// Returns an amount in minor units, such as `¥1,999.00`, or `1,200 KRW` where the currency has no sign
/// that everybody knows.
pub fn format(language: Language, currency: Currency, amount: u64) -> String {
    let digits = currency.exponent() as usize;
    let unit = 10_u64.pow(currency.exponent());
    let whole = grouped(&(amount / unit).to_string());
    let number = match digits {
        0 => whole,
        _ => format!("{whole}.{:0digits$}", amount % unit),
    };
    match sign(language, currency) {
        Some(sign) => format!("{sign}{number}"),
        // Not to be broken into two lines.
        None => format!("{number}\u{A0}{currency}"),
    }
}

/// The yuan's sign is the yen's, so each of them has it where it is at home.
fn sign(language: Language, currency: Currency) -> Option<&'static str> {
    Some(match (currency.as_str(), language) {
        ("CNY", Language::Chinese) => "¥",
        ("CNY", Language::English) => "CN¥",
        ("EUR", _) => "€",
        ("GBP", _) => "£",
        ("HKD", _) => "HK$",
        ("JPY", Language::Chinese) => "JP¥",
        ("JPY", Language::English) => "¥",
        ("USD", Language::Chinese) => "US$",
        ("USD", Language::English) => "$",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_the_language_and_the_currency_have_them() {
        for (language, code, amount, text) in [
            (Language::Chinese, "CNY", 199_900, "¥1,999.00"),
            (Language::English, "CNY", 199_900, "CN¥1,999.00"),
            (Language::English, "EUR", 5, "€0.05"),
            (Language::English, "JPY", 1_200, "¥1,200"),
            (Language::Chinese, "JPY", 1_200, "JP¥1,200"),
            (Language::English, "KWD", 1_234_567, "1,234.567\u{A0}KWD"),
            (Language::Chinese, "CLF", 10_001, "1.0001\u{A0}CLF"),
            (Language::English, "USD", 0, "$0.00"),
        ] {
            let currency = Currency::parse(code).expect("a code");
            assert_eq!(format(language, currency, amount), text);
        }
    }
}
