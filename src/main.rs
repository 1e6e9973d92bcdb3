//! seckill
fn main() {}
