//! A private MariaDB with one account and one empty database, both called `seckill`.

use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::process::{self, command, find};
use crate::server::{Recipe, Server, Site};
use crate::watchdog::Watchdog;
use crate::{Error, Start};

const NAME: &str = "mariadbd";
const SERVER: &[&str] = &["mariadbd", "mysqld"];
const INSTALLER: &[&str] = &["mariadb-install-db", "mysql_install_db"];
const CLIENT: &[&str] = &["mariadb", "mysql"];
const DUMP: &[&str] = &["mariadb-dump", "mysqldump"];
const ROOT_PASSWORD: &str = "root-of-this-test";
/// How the database is made; `CREATE OR REPLACE` forgets all that was in it.
const DATABASE: &str = "CREATE OR REPLACE DATABASE seckill CHARACTER SET utf8mb4;";

/// A private mariadbd; what it can do is [`Server`]'s.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
}

impl MariaDb {
    /// Starts a MariaDB with more arguments, such as `["--innodb-buffer-pool-size=1G"]`. They come
    /// last and win over the harness's: every commit is synced, buffers are small.
    ///
    /// # Errors
    ///
    /// As [`Start::start`].
    pub fn start_with(arguments: &[&str]) -> Result<Self, Error> {
        find(SERVER)?;
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Ok(Self { server: Server::start(Box::new(MariaDbRecipe { arguments }))? })
    }

    /// Starts a MariaDB that writes a binary log, so that others can be its replicas and it can be one itself. Each
    /// of those that know each other has another number.
    ///
    /// # Errors
    ///
    /// As [`Start::start`].
    pub fn start_logging(server_id: u32) -> Result<Self, Error> {
        Self::start_with(&[
            &format!("--server-id={server_id}"),
            "--log-bin=binlog",
            "--log-slave-updates",
            "--binlog-format=ROW",
            "--gtid-strict-mode",
            "--slave-net-timeout=5",
        ])
    }

    /// Makes this one a replica of `primary`, by global transaction identifiers: it takes all that is in that one's
    /// binary log, and what comes.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if one of them refuses.
    pub fn replicate(&self, primary: &Self) -> Result<(), Error> {
        primary.execute(
            "CREATE OR REPLACE USER 'replica'@'127.0.0.1' IDENTIFIED BY 'replica'; \
             GRANT REPLICATION SLAVE ON *.* TO 'replica'@'127.0.0.1'",
        )?;
        let port = primary.address().port();
        self.execute(&format!(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='replica', \
             MASTER_PASSWORD='replica', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos; \
             START SLAVE; SET GLOBAL read_only=1"
        ))
        .map(drop)
    }

    /// Makes a replica a server of its own, with what it has applied by now.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if it refuses.
    pub fn promote(&self) -> Result<(), Error> {
        self.execute("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0").map(drop)
    }

    /// Copies the database `seckill` to another server, whose own it replaces.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if it cannot be read or written.
    pub fn copy_to(&self, other: &Self) -> Result<(), Error> {
        let site = self.server.site();
        let dump = site.path().join("copy.sql");
        let mut dumping = command(&find(DUMP)?, site.path());
        dumping.args(["--no-defaults", "--user=root", "--single-transaction", "--add-drop-table"]);
        dumping.arg(assignment("--socket", socket(site)));
        dumping.arg(assignment("--result-file", dump.clone())).arg("seckill");
        dumping.env("MYSQL_PWD", ROOT_PASSWORD);
        process::run(NAME, dumping)?;
        other.execute(&format!("source {}", dump.display())).map(drop)
    }

    /// Runs SQL as root in the database `seckill`, through the `mariadb` client, and returns what
    /// it printed: a line per row, tabs between columns, no headings, no last line break.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] with the client's message.
    pub fn execute(&self, sql: &str) -> Result<String, Error> {
        execute(self.server.site(), sql)
    }
}

impl Start for MariaDb {
    fn start() -> Result<Self, Error> {
        Self::start_with(&[])
    }
}

impl Deref for MariaDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

struct MariaDbRecipe {
    arguments: Vec<String>,
}

impl Recipe for MariaDbRecipe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn install(&self, site: &Site) -> Result<(), Error> {
        let mut template = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
        let template = match &*template {
            Some(template) => template,
            None => template.insert(Template::install()?),
        };
        copy_directory(&template.data(), &site.data())
            .map_err(|error| Error::io(NAME, "copying its data", &error))
    }

    fn command(&self, site: &Site) -> Result<Command, Error> {
        let mut server = command(&find(SERVER)?, site.path());
        server.arg("--no-defaults").args(run_as_root());
        server.arg(assignment("--datadir", site.data()));
        server.arg(assignment("--socket", socket(site)));
        server.arg(assignment("--pid-file", site.path().join("mariadb.pid")));
        server.arg(assignment("--tmpdir", site.path()));
        server.arg(format!("--port={}", site.port(0)));
        server.args([
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            "--key-buffer-size=1M",
            "--aria-pagecache-buffer-size=2M",
            "--performance-schema=OFF",
        ]);
        server.args(&self.arguments);
        Ok(server)
    }

    fn ready(&self, site: &Site, _id: u32, log: &str) -> bool {
        // The server gives up if it cannot have the port, so its own word and its socket in our
        // directory are enough; the line is printed before the first connection is accepted.
        log.contains("ready for connections") && execute(site, "SELECT 1").is_ok()
    }

    fn empty_running(&self, site: &Site) -> Result<bool, Error> {
        execute(site, DATABASE)?;
        Ok(true)
    }

    fn url(&self, port: u16) -> String {
        format!("mysql://seckill:seckill@127.0.0.1:{port}/seckill")
    }
}

/// Data as installed. It is copied for each server of this test process, since installing takes
/// seconds on a busy machine and copying takes none.
struct Template {
    directory: TempDir,
    /// A static is never dropped: this removes the directory when the process ends.
    _watchdog: Watchdog,
}

static TEMPLATE: Mutex<Option<Template>> = Mutex::new(None);

impl Template {
    fn install() -> Result<Self, Error> {
        let failed = |error| Error::io(NAME, "a directory for its installation", &error);
        let directory =
            tempfile::Builder::new().prefix("seckill-test-").tempdir().map_err(failed)?;
        let watchdog = Watchdog::over(directory.path()).map_err(failed)?;
        let template = Self { directory, _watchdog: watchdog };

        // The accounts without a password, which the installer makes for root, go.
        let accounts = format!(
            "FLUSH PRIVILEGES;\n\
             DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';\n\
             DELETE FROM mysql.global_priv WHERE User = '';\n\
             FLUSH PRIVILEGES;\n\
             ALTER USER 'root'@'localhost' IDENTIFIED BY '{ROOT_PASSWORD}';\n\
             CREATE USER 'seckill'@'127.0.0.1' IDENTIFIED BY 'seckill';\n\
             GRANT ALL ON seckill.* TO 'seckill'@'127.0.0.1';\n\
             {DATABASE}\n"
        );
        let path = template.directory.path();
        let accounts_file = path.join("accounts.sql");
        fs::write(&accounts_file, accounts).map_err(failed)?;
        let mut installer = command(&find(INSTALLER)?, path);
        installer.arg("--no-defaults").args(run_as_root());
        installer.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        installer.args(["--skip-name-resolve", "--innodb-log-file-size=8M"]);
        installer.arg(assignment("--datadir", template.data()));
        installer.arg(assignment("--extra-file", accounts_file));
        process::run(NAME, installer)?;
        Ok(template)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &copy)?;
        } else {
            fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}

fn execute(site: &Site, sql: &str) -> Result<String, Error> {
    let mut client = command(&find(CLIENT)?, site.path());
    client.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"]);
    client.arg(assignment("--socket", socket(site)));
    client.arg(format!("--execute={sql}")).arg("seckill");
    client.env("MYSQL_PWD", ROOT_PASSWORD);
    let printed = process::run(NAME, client)?;
    Ok(printed.strip_suffix('\n').unwrap_or(&printed).to_owned())
}

fn socket(site: &Site) -> PathBuf {
    site.path().join("mariadb.sock")
}

fn assignment(option: &str, path: impl Into<PathBuf>) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(format!("{option}="));
    argument.push(path.into());
    argument
}

/// MariaDB refuses to run as root unless it is told to.
fn run_as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}
