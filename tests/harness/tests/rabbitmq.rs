//! A private RabbitMQ through every state it can be put into. One broker serves several steps,
//! since it takes seconds to start.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use harness::{RabbitMq, Server};

/// Declares a durable queue without a client library.
const DECLARE: &str = "rabbit_amqqueue:declare(\
    rabbit_misc:r(<<\"/\">>, queue, <<\"orders\">>), true, false, \
    [{<<\"x-queue-type\">>, longstr, <<\"quorum\">>}], none, <<\"guest\">>), ok.";

fn queues(rabbitmq: &RabbitMq) -> String {
    rabbitmq.ctl(&["list_queues", "name", "type"]).unwrap()
}

/// A connection on which the handshake has been opened.
fn handshake(rabbitmq: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(rabbitmq.address()).unwrap();
    stream.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
    stream
}

fn assert_greeted(stream: &mut TcpStream) {
    let mut frame_type = [0];
    stream.read_exact(&mut frame_type).unwrap();
    assert_eq!(frame_type, [1], "a method frame");
}

#[test]
fn a_durable_queue_survives_a_kill_and_a_restart_until_deleted_or_emptied() {
    let Some(rabbitmq) = harness::rabbitmq() else { return };
    let url = rabbitmq.url();
    assert_eq!(queues(&rabbitmq), "");
    rabbitmq.ctl(&["eval", DECLARE]).unwrap();
    assert_eq!(queues(&rabbitmq), "orders\tquorum");

    rabbitmq.kill();
    assert!(!rabbitmq.is_running());
    TcpStream::connect(rabbitmq.address()).expect_err("nothing listens");
    rabbitmq.restart().unwrap();
    assert_greeted(&mut handshake(&rabbitmq));
    assert_eq!(queues(&rabbitmq), "orders\tquorum");

    rabbitmq.stop();
    assert!(!rabbitmq.is_running());
    rabbitmq.restart().unwrap();
    assert_eq!(queues(&rabbitmq), "orders\tquorum");

    rabbitmq.ctl(&["delete_queue", "orders"]).unwrap();
    assert_eq!(queues(&rabbitmq), "");
    rabbitmq.ctl(&["delete_queue", "orders"]).expect_err("it is gone");

    rabbitmq.ctl(&["eval", DECLARE]).unwrap();
    rabbitmq.empty().unwrap();
    assert!(rabbitmq.is_running());
    assert_eq!(queues(&rabbitmq), "");
    assert_eq!(rabbitmq.url(), url);
}

#[test]
fn frozen_it_accepts_connections_and_greets_once_thawed() {
    let started = RabbitMq::start_with("consumer_timeout = 12345");
    let Some(rabbitmq) = harness::required(started) else { return };
    let timeout = rabbitmq.ctl(&["eval", "application:get_env(rabbit, consumer_timeout)."]);
    assert_eq!(timeout.unwrap(), "{ok,12345}");
    rabbitmq.freeze();
    assert!(rabbitmq.is_running());
    let mut stream = handshake(&rabbitmq);
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = stream.read(&mut [0; 1]).expect_err("no greeting");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    rabbitmq.thaw();
    stream.set_read_timeout(None).unwrap();
    assert_greeted(&mut stream);
}
