//! The proxy's faults, seen by a client of an echo server.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use harness::{Proxy, Sender};

/// What an echo server says to the end of a client's stream.
const FAREWELL: &[u8] = b"farewell";

/// A server that says back what it hears; at the end of the stream it says farewell. Its thread
/// ends with the test process.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || -> io::Result<()> {
                let mut buffer = [0; 4_096];
                loop {
                    match client.read(&mut buffer)? {
                        0 => return client.write_all(FAREWELL),
                        length => client.write_all(&buffer[..length])?,
                    }
                }
            });
        }
    });
    address
}

fn say(stream: &mut TcpStream, words: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(words)?;
    let mut answer = vec![0; words.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// A client that is known to reach the server through the proxy.
fn client(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.addr()).unwrap();
    assert_eq!(say(&mut stream, b"hello").unwrap(), b"hello");
    stream
}

fn is_reset(stream: &mut TcpStream) -> bool {
    let error = stream.read(&mut [0; 16]).expect_err("a reset");
    error.kind() == io::ErrorKind::ConnectionReset
}

#[test]
fn what_is_said_passes_in_both_directions_and_so_do_the_ends_of_streams() {
    let proxy = Proxy::to(echo());
    let mut stream = client(&proxy);
    let long: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = long.clone();
    let sending = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    sending.join().unwrap();
    assert_eq!(answer, [&long, FAREWELL].concat());
    drop(stream);
    proxy.wait_for_connections(0);
}

#[test]
fn a_cut_resets_connections_and_refuses_new_ones_until_restored() {
    let proxy = Proxy::to(echo());
    let mut streams = [client(&proxy), client(&proxy)];
    assert_eq!(proxy.connections(), 2);
    proxy.cut();
    assert_eq!(proxy.connections(), 0);
    for stream in &mut streams {
        assert!(is_reset(stream));
    }
    let refused = TcpStream::connect(proxy.addr()).expect_err("nothing listens");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    proxy.restore();
    client(&proxy);
}

#[test]
fn connections_can_be_reset_while_new_ones_pass() {
    let proxy = Proxy::to(echo());
    let mut stream = client(&proxy);
    proxy.reset_connections();
    assert!(is_reset(&mut stream));
    client(&proxy);
}

#[test]
fn a_server_that_refuses_shows_as_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap());
    drop(listener);
    let mut stream = TcpStream::connect(proxy.addr()).unwrap();
    assert!(is_reset(&mut stream));
}

#[test]
fn delayed_bytes_arrive_whole_and_in_order() {
    let proxy = Proxy::to(echo());
    let mut stream = client(&proxy);
    proxy.delay(Duration::from_millis(20));
    for word in [&b"one"[..], b"two", b"three"] {
        stream.write_all(word).unwrap();
    }
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"onetwothree");
}

#[test]
fn a_long_delay_holds_bytes_back() {
    let proxy = Proxy::to(echo());
    let mut stream = client(&proxy);
    proxy.delay(Duration::from_secs(3_600));
    stream.write_all(b"late").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = stream.read(&mut [0; 4]).expect_err("nothing yet");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_half_closed_connection_reads_its_end_while_the_server_still_hears_it() {
    let heard = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(heard.local_addr().unwrap());
    let mut stream = TcpStream::connect(proxy.addr()).unwrap();
    let (mut server, _) = heard.accept().unwrap();
    assert_eq!(say_across(&mut stream, &mut server, b"before"), b"before");
    proxy.half_close();
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
    server.write_all(b"dropped").unwrap();
    assert_eq!(say_across(&mut stream, &mut server, b"after"), b"after");
    drop(stream);
    assert_eq!(server.read(&mut [0; 16]).unwrap(), 0);
}

/// What arrives at `to` when `from` says some words.
fn say_across(from: &mut TcpStream, to: &mut TcpStream, words: &[u8]) -> Vec<u8> {
    from.write_all(words).unwrap();
    let mut heard = vec![0; words.len()];
    to.read_exact(&mut heard).unwrap();
    heard
}

#[test]
fn a_black_hole_keeps_what_is_sent_until_restored() {
    let proxy = Proxy::to(echo());
    let mut old = client(&proxy);
    proxy.blackhole();
    let mut new = TcpStream::connect(proxy.addr()).unwrap();
    for stream in [&mut old, &mut new] {
        stream.write_all(b"unheard").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let error = stream.read(&mut [0; 16]).expect_err("nothing comes back");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        stream.set_read_timeout(None).unwrap();
    }
    proxy.restore();
    for stream in [&mut old, &mut new] {
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"unheard");
    }
}

#[test]
fn one_way_passes_what_one_side_sends_alone() {
    let heard = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(heard.local_addr().unwrap());
    let mut client = TcpStream::connect(proxy.addr()).unwrap();
    let (mut server, _) = heard.accept().unwrap();
    proxy.one_way(Sender::Client);
    let mut arrived = [0; 3];
    client.write_all(b"one").unwrap();
    server.read_exact(&mut arrived).unwrap();
    server.write_all(b"two").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = client.read(&mut [0; 16]).expect_err("nothing comes back");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    client.set_read_timeout(None).unwrap();
    proxy.restore();
    client.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"two");
}

#[test]
fn a_cut_after_bytes_of_the_client_lets_just_those_arrive() {
    let heard = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(heard.local_addr().unwrap());
    let mut stream = TcpStream::connect(proxy.addr()).unwrap();
    let (mut server, _) = heard.accept().unwrap();
    proxy.cut_after(Sender::Client, 4);
    stream.write_all(b"sixsix").unwrap();
    let mut arrived = Vec::new();
    server.read_to_end(&mut arrived).unwrap();
    assert_eq!(arrived, b"sixs");
    assert!(is_reset(&mut stream));
    proxy.wait_for_traps(1);
}

#[test]
fn a_cut_after_no_bytes_of_the_server_loses_the_next_answer_and_only_that() {
    let proxy = Proxy::to(echo());
    let mut stream = client(&proxy);
    proxy.cut_after(Sender::Server, 0);
    stream.write_all(b"lost").unwrap();
    assert!(is_reset(&mut stream));
    proxy.wait_for_traps(1);
    let mut stream = client(&proxy);
    assert_eq!(say(&mut stream, b"kept").unwrap(), b"kept");
}

#[test]
fn the_answer_to_a_pattern_is_lost_even_if_the_pattern_comes_in_pieces() {
    let proxy = Proxy::to(echo());
    let mut bystander = client(&proxy);
    let mut stream = client(&proxy);
    proxy.lose_answer_to(b"COMMIT");
    assert_eq!(say(&mut stream, b"BEGIN; COM").unwrap(), b"BEGIN; COM");
    stream.write_all(b"MIT").unwrap();
    assert!(is_reset(&mut stream));
    assert_eq!(say(&mut bystander, b"COMMIT").unwrap(), b"COMMIT");
    assert_eq!(proxy.traps_sprung(), 1);
}

#[test]
fn restoring_takes_a_trap_away() {
    let proxy = Proxy::to(echo());
    let mut stream = client(&proxy);
    proxy.cut_after(Sender::Server, 0);
    proxy.restore();
    assert_eq!(say(&mut stream, b"kept").unwrap(), b"kept");
    assert_eq!(proxy.traps_sprung(), 0);
}

#[test]
fn dropping_the_proxy_closes_everything() {
    let proxy = Proxy::to(echo());
    let address = proxy.addr();
    let mut stream = client(&proxy);
    drop(proxy);
    // However the system words it: no more answers.
    assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)));
    TcpStream::connect(address).expect_err("nothing listens");
}

#[test]
fn a_url_keeps_all_but_its_host_and_port() {
    let proxy = Proxy::to("127.0.0.1:1".parse().unwrap());
    let address = proxy.addr();
    let check = |url: &str, expect: String| assert_eq!(proxy.url_for(url), expect);
    check("redis://127.0.0.1:6379/", format!("redis://{address}/"));
    check("redis://:secret@localhost/1?a=b", format!("redis://:secret@{address}/1?a=b"));
    check("amqp://guest:guest@127.0.0.1:5672/%2f", format!("amqp://guest:guest@{address}/%2f"));
    check("mysql://u:p@[::1]:3306/seckill", format!("mysql://u:p@{address}/seckill"));
    check("http://host:80", format!("http://{address}"));
}
