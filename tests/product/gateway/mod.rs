//! The shop behind a gateway: nginx with the files of `deploy/nginx`, and `seckill gateway`, which tells it and Kong
//! where the nodes are.

mod balancing;
mod command;
mod grpc;
mod grpc_node;
mod node;
mod shop;

use harness::Nginx;
use std::path::{Path, PathBuf};

/// nginx with `deploy/nginx/nginx.conf` as it is, but for the places where it listens, reads and writes. Nothing where
/// it is not installed.
fn nginx(upstream: &Path, pages: &Path) -> Option<Nginx> {
    nginx_with(upstream, pages, &[])
}

/// The same, with these lines in the place of those.
fn nginx_with(upstream: &Path, pages: &Path, others: &[(&str, &str)]) -> Option<Nginx> {
    nginx_over(upstream, pages, others, &folder().join("grpc.conf"))
}

/// Where the files are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx")
}

/// The same, with this in the place of `deploy/nginx/grpc.conf`.
fn nginx_over(
    upstream: &Path,
    pages: &Path,
    others: &[(&str, &str)],
    grpc: &Path,
) -> Option<Nginx> {
    let text = std::fs::read_to_string(folder().join("nginx.conf")).expect("the file");
    let places = [
        ("user www-data;", "user root;".to_owned()),
        ("pid /run/nginx.pid;", "pid {place}/pid;".to_owned()),
        ("error_log /var/log/nginx/error.log warn;", "error_log stderr warn;".to_owned()),
        ("listen 80;", "listen 127.0.0.1:{port};".to_owned()),
        ("listen 50051 http2;", "listen 127.0.0.1:{second_port} http2;".to_owned()),
        ("include /etc/nginx/upstream.conf;", format!("include {};", upstream.display())),
        ("root /srv/seckill/pages;", format!("root {};", pages.display())),
        ("proxy_cache_path /var/cache/nginx/seckill ", "proxy_cache_path {place}/cache ".to_owned()),
        (
            "http {\n",
            "http {\n    client_body_temp_path {place}/body;\n    proxy_temp_path {place}/proxy;\n    \
             fastcgi_temp_path {place}/fastcgi;\n    uwsgi_temp_path {place}/uwsgi;\n    \
             scgi_temp_path {place}/scgi;\n"
                .to_owned(),
        ),
    ];
    let others = others.iter().map(|(from, to)| (*from, (*to).to_owned()));
    let text = places.into_iter().chain(others).fold(text, |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, &to)
    });
    // Included once in effect, and once where a comment says how to have it with TLS.
    let included = format!("include {};", grpc.display());
    let text = text.replace("include /etc/nginx/grpc.conf;", &included);
    harness::required(Nginx::start_with(&text))
}

/// nginx's upstream of these addresses, as the command writes it for nodes.
fn upstream(folder: &Path, addresses: &[String]) -> PathBuf {
    let file = folder.join("upstream.conf");
    std::fs::write(&file, seckill::app::gateway::nginx(addresses)).expect("written");
    file
}
