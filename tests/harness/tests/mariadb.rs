//! A private MariaDB through every state it can be put into.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Duration;

use harness::MariaDb;

#[test]
fn committed_rows_survive_a_kill_and_an_orderly_restart() {
    let Some(mariadb) = harness::mariadb() else { return };
    let url = mariadb.url();
    mariadb.execute("CREATE TABLE orders (id BIGINT PRIMARY KEY)").unwrap();
    mariadb.execute("INSERT INTO orders VALUES (1), (2)").unwrap();
    mariadb.kill();
    assert!(!mariadb.is_running());
    mariadb.execute("SELECT 1").expect_err("it is down");
    mariadb.restart().unwrap();
    assert_eq!(mariadb.execute("SELECT id FROM orders ORDER BY id").unwrap(), "1\n2");
    mariadb.stop();
    assert!(!mariadb.is_running());
    mariadb.restart().unwrap();
    assert_eq!(mariadb.execute("SELECT COUNT(*) FROM orders").unwrap(), "2");
    assert_eq!(mariadb.url(), url);
}

#[test]
fn every_commit_is_synced_and_only_named_accounts_exist() {
    let Some(mariadb) = harness::mariadb() else { return };
    let setting = mariadb.execute("SELECT @@innodb_flush_log_at_trx_commit").unwrap();
    assert_eq!(setting, "1");
    let accounts = mariadb.execute("SELECT User, Host FROM mysql.user ORDER BY User").unwrap();
    assert_eq!(accounts, "mariadb.sys\tlocalhost\nroot\tlocalhost\nseckill\t127.0.0.1");
}

#[test]
fn emptied_it_has_its_database_and_nothing_in_it() {
    let Some(mariadb) = harness::mariadb() else { return };
    for at_rest in [false, true] {
        mariadb.execute("CREATE TABLE orders (id BIGINT PRIMARY KEY)").unwrap();
        if at_rest {
            mariadb.kill();
        }
        mariadb.empty().unwrap();
        assert_eq!(mariadb.is_running(), !at_rest);
        if at_rest {
            mariadb.restart().unwrap();
        }
        assert_eq!(mariadb.execute("SHOW TABLES").unwrap(), "");
    }
}

#[test]
fn frozen_it_accepts_connections_and_greets_once_thawed() {
    let Some(mariadb) = harness::mariadb() else { return };
    mariadb.freeze();
    let mut stream = TcpStream::connect(mariadb.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = stream.read(&mut [0; 16]).expect_err("no greeting");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    mariadb.thaw();
    stream.set_read_timeout(None).unwrap();
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting[4], 10, "the protocol's version");
}

#[test]
fn settings_of_the_test_win() {
    let started = MariaDb::start_with(&["--innodb-buffer-pool-size=128M", "--max-connections=17"]);
    let Some(mariadb) = harness::required(started) else { return };
    let settings = mariadb.execute("SELECT @@innodb_buffer_pool_size, @@max_connections").unwrap();
    assert_eq!(settings, "134217728\t17");
}

#[test]
fn what_the_client_complains_of_is_in_the_error() {
    let Some(mariadb) = harness::mariadb() else { return };
    let error = mariadb.execute("SELECT * FROM nothing").unwrap_err();
    assert!(error.to_string().contains("ERROR 1146"), "{error}");
}
