//! The edge from outside: a real listener over a running engine, asked in plain HTTP.

mod auditing;
mod buying;
mod document;
mod limits;
mod mistakes;
mod operating;
mod orders;
mod reading;
mod sale_lifecycle;
mod selling;
mod users;
