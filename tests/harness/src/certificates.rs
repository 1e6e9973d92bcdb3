//! Certificates for servers under test that speak TLS.

use std::process::Command;

/// Makes an authority, and a server's certificate signed by it, all in PEM at these paths. False, with one line said,
/// where openssl is not installed.
///
/// # Panics
///
/// If openssl makes none; and, with `SECKILL_REQUIRE_SERVICES=1` in the environment, if it is not installed.
#[must_use]
pub fn make(authority_key: &str, authority: &str, key: &str, certificate: &str) -> bool {
    let Some(program) = crate::program("openssl") else { return false };
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    let run = |arguments: &[&str]| {
        let mut openssl = Command::new(&program);
        openssl.args(request).args(["-nodes", "-days", "2"]).args(arguments);
        let output = openssl.output().expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    run(&["-subj", "/CN=authority", "-keyout", authority_key, "-out", authority]);
    #[rustfmt::skip]
    run(&[
        "-subj", "/CN=localhost", "-CA", authority, "-CAkey", authority_key,
        "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE",
        "-keyout", key, "-out", certificate,
    ]);
    true
}
