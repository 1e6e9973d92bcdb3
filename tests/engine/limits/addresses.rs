//! A million addresses: what they take of memory, and of others' patience.

use domain::Address;
use seckill::http::LimitOptions;
use seckill::http::limits::Limits;
use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;
use std::time::Duration;

/// Says to this test that it runs in a process of its own.
const ALONE: &str = "LIMITS_TEST_ALONE";
const NAME: &str = "limits::addresses::a_million_networks_take_no_memory_and_keep_nobody_out";

/// The memory that the process has, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A network of 64 bits in a network of 48 bits of its own.
fn network(number: u64) -> Address {
    IpAddr::V6(Ipv6Addr::from_bits(0x2001 << 112 | u128::from(number) << 80)).into()
}

#[test]
fn a_million_networks_take_no_memory_and_keep_nobody_out() {
    if std::env::var_os(ALONE).is_some() {
        return attack();
    }
    // Memory is the whole process's, and other tests share this one.
    let test = std::env::current_exe().expect("a program");
    let output = Command::new(test).args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{error}");
}

/// Ten seconds of a sale: 100,000 requests a second from a million networks, an address that asks a
/// thousand times a second, and 2,000 buyers who ask once a second each.
fn attack() {
    const NETWORKS: u64 = 1_000_000;
    const STEPS: u64 = 10_000;
    const HONEST: u64 = 2_000;
    let options = LimitOptions { address_per_second: 1, address_burst: 5, ..LimitOptions::NONE };
    let limits = Limits::new(&options, 8 << 20);
    let ask = |address: Address, step: u64| {
        // From the second second on, because the first was for touching the memory.
        let now = Duration::from_millis(1_000 + step);
        limits.purchase_from(address, now).is_ok()
    };
    for warm in 0..300_000 {
        let _ = limits.purchase_from(network(NETWORKS * 2 + warm), Duration::ZERO);
    }
    let before = resident_kib();
    let (mut stranger, mut honest, mut refused, mut offender) = (0, 0, 0, 0);
    for step in 0..STEPS {
        for _ in 0..100 {
            stranger += 1;
            ask(network(stranger % NETWORKS), step);
        }
        offender += u64::from(ask(network(NETWORKS + 1), step));
        // Each of them once a second.
        for buyer in (step % 1_000..HONEST).step_by(1_000) {
            honest += 1;
            refused += u64::from(!ask(network(NETWORKS + 100 + buyer), step));
        }
    }
    let grown = resident_kib().saturating_sub(before);
    println!("{grown} KiB, {refused} of {honest} honest requests refused, offender {offender}");
    assert_eq!(stranger, NETWORKS);
    // A cell for each network would be 8 MiB at the least.
    assert!(grown < 4 << 10, "{grown} KiB more");
    assert!(refused * 1_000 <= honest, "{refused} of {honest} honest requests were refused");
    // Five at once and one a second.
    assert!(offender * 100 <= 15 * 105, "the offender was admitted {offender} times");
}
