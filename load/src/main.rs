//! The load laboratory.
fn main() {}
