//! Certificates for servers under test that speak TLS.

use std::process::Command;

/// An authority, and a server's certificate signed by it; false where openssl is not installed.
pub fn make(authority_key: &str, authority: &str, key: &str, certificate: &str) -> bool {
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    let run = |arguments: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.args(request).args(["-nodes", "-days", "2"]).args(arguments);
        openssl.output().ok().map(|output| {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        })
    };
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    #[rustfmt::skip]
    let made = run(&["-subj", "/CN=authority", "-keyout", authority_key, "-out", authority])
        .and_then(|()| run(&[
            "-subj", "/CN=localhost", "-CA", authority, "-CAkey", authority_key,
            "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", key, "-out", certificate,
        ]));
    made.is_some()
}
