//! A real PostgreSQL 15 of the test's own: a directory of its own, a socket in it, no network; gone when the last user drops it.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::thread::JoinHandle;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, getuid};
use tempfile::TempDir;

const BINARIES: &str = "/usr/lib/postgresql/15/bin";
const SUPERUSER: &str = "duplex";

pub struct Postgres {
    directory: TempDir,
    pid: Pid,
    /// Spawned the server, so the server dies with it; reads the server's log to its end.
    keeper: Option<JoinHandle<()>>,
    databases: AtomicU32,
}

impl Postgres {
    /// The one server of this process.
    pub fn shared() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().expect("no test panics while it starts the server");
        running.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *running = Arc::downgrade(&started);
            started
        })
    }

    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With settings of its own, as `name=value`.
    pub fn start_with(settings: &'static [&'static str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        if let Some(user) = unprivileged() {
            chown(directory.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("the directory given to postgres");
        }
        initialise(directory.path());
        let (started, start) = mpsc::channel();
        let place = directory.path().to_owned();
        let keeper = std::thread::spawn(move || keep(&place, settings, &started));
        let pid = start.recv().expect("the server's log says that it is ready");
        Self { directory, pid, keeper: Some(keeper), databases: AtomicU32::new(0) }
    }

    /// The URL of a new, empty database.
    pub fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut conn = PgConnection::establish(&self.url("postgres")).expect("the server answers");
        conn.batch_execute(&format!("CREATE DATABASE {name}")).expect("a new database");
        self.url(&name)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user={SUPERUSER}", self.directory.path().display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: at once, without a checkpoint; nobody wants these data.
        let _ = kill(self.pid, Signal::SIGQUIT);
        let _ = self.keeper.take().map(JoinHandle::join);
    }
}

/// PostgreSQL refuses to run as root.
fn unprivileged() -> Option<User> {
    getuid().is_root().then(|| {
        let named = |name| User::from_name(name).expect("the user database is readable");
        named("postgres").or_else(|| named("nobody")).expect("a user that is not root")
    })
}

fn server_command(binary: &str) -> Command {
    let binary = PathBuf::from(BINARIES).join(binary);
    let Some(user) = unprivileged() else { return Command::new(binary) };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
    command.args(["--clear-groups", "--pdeathsig=QUIT"]).arg(binary);
    command
}

/// English collation on purpose: keys must come in the order of their bytes all the same.
fn initialise(directory: &Path) {
    let made = server_command("initdb")
        .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
        .args(["--locale-provider=icu", "--icu-locale=en-US", "--username", SUPERUSER, "--pgdata"])
        .arg(directory.join("data"))
        .current_dir(directory)
        .output()
        .expect("initdb of PostgreSQL 15 is installed");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
}

fn keep(directory: &Path, settings: &[&str], started: &mpsc::Sender<Pid>) {
    let mut server = server_command("postgres")
        .arg("-D")
        .arg(directory.join("data"))
        .arg("-k")
        .arg(directory)
        .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"])
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .current_dir(directory)
        .stderr(Stdio::piped())
        .spawn()
        .expect("PostgreSQL 15 is installed");
    let pid = Pid::from_raw(i32::try_from(server.id()).expect("a process id"));
    let log = server.stderr.take().expect("piped above");
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if line.contains("ready to accept connections") {
            let _ = started.send(pid);
        }
    }
    let _ = server.wait();
}
