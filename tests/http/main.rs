//! The edge from outside: a real listener over a running engine, asked in plain HTTP.

mod admission;
mod auditing;
mod buy_tokens;
mod buying;
mod challenges;
mod compat;
mod console;
mod cross_check;
mod document;
mod limits;
mod live;
mod media;
mod mistakes;
mod oidc;
mod operating;
mod operators;
mod order_search;
mod orders;
mod pages;
mod rates;
mod reading;
mod risk;
mod sale_lifecycle;
mod selling;
mod settings;
mod users;
