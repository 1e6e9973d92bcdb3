//! The shop behind a gateway: nginx with the files of `deploy/nginx`, and `seckill gateway`, which tells it and Kong
//! where the nodes are.

mod balancing;
mod command;
mod node;
mod shop;

use harness::Nginx;
use std::path::Path;

/// nginx with `deploy/nginx/nginx.conf` as it is, but for the places where it listens, reads and writes. Nothing where
/// it is not installed.
fn nginx(upstream: &Path, pages: &Path) -> Option<Nginx> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("deploy/nginx/nginx.conf")).expect("the file");
    let places = [
        ("user www-data;", "user root;".to_owned()),
        ("pid /run/nginx.pid;", "pid {place}/pid;".to_owned()),
        ("error_log /var/log/nginx/error.log warn;", "error_log stderr warn;".to_owned()),
        ("listen 80;", "listen 127.0.0.1:{port};".to_owned()),
        ("include /etc/nginx/upstream.conf;", format!("include {};", upstream.display())),
        ("root /var/lib/seckill/pages;", format!("root {};", pages.display())),
        ("proxy_cache_path /var/cache/nginx/seckill ", "proxy_cache_path {place}/cache ".to_owned()),
        (
            "http {\n",
            "http {\n    client_body_temp_path {place}/body;\n    proxy_temp_path {place}/proxy;\n    \
             fastcgi_temp_path {place}/fastcgi;\n    uwsgi_temp_path {place}/uwsgi;\n    \
             scgi_temp_path {place}/scgi;\n"
                .to_owned(),
        ),
    ];
    let text = places.iter().fold(text, |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    });
    harness::required(Nginx::start_with(&text))
}

/// nginx's upstream of these addresses, as the command writes it for nodes.
fn upstream(folder: &Path, addresses: &[String]) -> std::path::PathBuf {
    let file = folder.join("upstream.conf");
    std::fs::write(&file, seckill::app::gateway::nginx(addresses)).expect("written");
    file
}
