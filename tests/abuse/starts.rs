//! A server that cannot start says what and where in one line; a store that fails while it serves harms no command.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use duplex::layout::Layout;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::pair::{CommandIds, First, PATIENCE, PROGRAM, Pair, Second, eventually};

/// What a server says that should not start, and its exit code.
fn refused_start(config: &std::path::Path) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    command.args(["--die-with-parent", "serve", "--config"]).arg(config).env("RUST_BACKTRACE", "0");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = eventually(PATIENCE, || child.try_wait().unwrap().is_some());
    if !ended {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn says(config: &std::path::Path, named: &[&str]) {
    ends(config, 1, named);
}

/// The file itself is wrong, or what it names.
#[track_caller]
fn misread(config: &std::path::Path, named: &[&str]) {
    ends(config, 2, named);
}

#[track_caller]
fn ends(config: &std::path::Path, exit: i32, named: &[&str]) {
    let (code, said) = refused_start(config);
    assert_eq!((code, said.lines().count()), (Some(exit), 1), "{said}");
    for name in named {
        assert!(said.contains(name), "{name:?} is not named: {said}");
    }
}

/// The first server's configuration with one text replaced.
fn changed(pair: &Pair, from: &str, to: &str) -> PathBuf {
    let text = fs::read_to_string(pair.config_file(First)).unwrap();
    assert!(text.contains(from), "{from:?} is not in the configuration");
    let file = pair.file("changed.toml");
    fs::write(&file, text.replacen(from, to, 1)).unwrap();
    file
}

#[test]
fn a_wrong_configuration_is_refused_with_the_key_or_line_that_is_wrong() {
    let pair = Pair::init();
    let file = pair.file("changed.toml").display().to_string();
    misread(&changed(&pair, "[peer]\n", "[peer]\nsurprise = 1\n"), &[&file, "line", "surprise"]);
    misread(&changed(&pair, "[log]\n", "[surprise]\n[log]\n"), &[&file, "line", "surprise"]);
    let address = pair.address(First).to_string();
    misread(&changed(&pair, &format!("\"{address}\""), "\"127.0.0.1:seven\""), &[&file, "line"]);
    misread(&changed(&pair, r#"["hall-1", "hall-2"]"#, r#"["hall-1", "hall-1"]"#), &[&file, "server.pair", "twice"]);
    misread(&changed(&pair, r#"name = "hall-1""#, r#"name = "hall-3""#), &[&file, "server.name", "hall-3"]);
    misread(&changed(&pair, "heartbeat_ms = 25", "heartbeat_ms = 0"), &[&file, "timing.heartbeat_ms"]);
    misread(&pair.file("nowhere.toml"), &["nowhere.toml"]);
}

#[test]
fn a_disk_key_or_port_that_is_not_as_it_should_be_is_named() {
    let pair = Pair::init();
    let data = pair.config(First).server.data.display().to_string();
    misread(&changed(&pair, &data, "/nowhere/at/all"), &["line ", "server.data: /nowhere/at/all"]);
    let other = pair.config(Second).server.data.display().to_string();
    misread(&changed(&pair, &data, &other), &["line ", "server.name: \"hall-1\"", "other server"]);
    misread(&changed(&pair, "url = \"sqlite:", "url = \"postgers:"), &["line ", "store.url: ", "`postgers:`"]);
    let nobody = changed(&pair, "[log.actors]\n", "[log.actors]\nnobody = \"debug\"\n");
    let line = fs::read_to_string(&nobody).unwrap().lines().position(|line| line.starts_with("nobody")).unwrap() + 1;
    misread(&nobody, &[&format!(": line {line}: log.actors.nobody: \"nobody\" is no actor; the actors are state-monitor, ")]);
    let keys = pair.config(First).server.keys.display().to_string();
    misread(&changed(&pair, &format!("{keys:?}"), "\"/nowhere/keys\""), &["line ", "server.keys: /nowhere/keys/"]);

    for taken in [pair.config(First).terminals.listen, pair.config(First).peer.listen] {
        let listener = TcpListener::bind(taken).unwrap();
        says(&pair.config_file(First), &["line ", &format!("listen: {taken}: ")]);
        drop(listener);
    }
    let beats = pair.config(First).peer.heartbeats[0].local;
    let taken = std::net::UdpSocket::bind(beats).unwrap();
    says(&pair.config_file(First), &["line ", &format!("peer.heartbeats: {beats}: ")]);
    drop(taken);
    let layout = Layout::of(&pair.config(First));
    for file in [layout.server_pem()[1].clone(), layout.secret(), layout.first_register(), layout.authority()] {
        let aside = file.with_extension("aside");
        fs::rename(&file, &aside).unwrap();
        misread(&pair.config_file(First), &["server.keys: ", &file.display().to_string()]);
        fs::rename(&aside, &file).unwrap();
    }
}

#[test]
fn the_other_servers_certificate_is_refused_by_the_names_of_the_configuration() {
    let pair = Pair::init();
    let [own, other] = [First, Second].map(|which| Layout::of(&pair.config(which)).server_pem());
    for (own, other) in own.iter().zip(&other) {
        fs::copy(other, own).unwrap();
    }
    let said = "own certificate is for hall-2 (server-b), not for hall-1 (server-a)";
    misread(&pair.config_file(First), &[said]);
}

#[test]
fn an_address_or_interface_that_this_box_lacks_and_a_key_that_others_may_read_are_told_and_keep_nobody_from_starting() {
    let pair = Pair::init();
    let config = pair.config(First);
    let http = config.http.listen;
    let file = changed(&pair, &format!("\"{http}\""), &format!("\"203.0.113.9:{}\"", http.port()));
    let alias = "manage = \"alias\"\ninterface = \"nosuch0\"\nmain = \"203.0.113.1\"\nsub = \"203.0.113.2\"";
    let text = fs::read_to_string(&file).unwrap().replacen("manage = \"none\"", alias, 1);
    fs::write(&file, text).unwrap();
    fs::set_permissions(Layout::of(&config).secret(), fs::Permissions::from_mode(0o644)).unwrap();
    // The start ends at a port that is taken.
    let _taken = TcpListener::bind(config.terminals.listen).unwrap();
    let (code, said) = refused_start(&file);
    assert_eq!(code, Some(1), "{said}");
    for part in ["no interface of this box has this address yet", "http.listen", "203.0.113.9", "nosuch0", "keys/secret"] {
        assert_eq!(said.matches(part).count(), 1, "{part}: {said}");
    }
    let last = said.lines().last().unwrap();
    assert!(last.starts_with(&format!("duplex: {}: line ", file.display())) && last.contains(": terminals.listen: "), "{said}");
}

fn store(pair: &Pair) -> SqliteConnection {
    let file = Layout::of(&pair.config(First)).sqlite();
    SqliteConnection::establish(&file.display().to_string()).unwrap()
}

/// Whoever starts it may leave, the machine may be powered up: it has not begun yet, and says so once.
#[test]
fn a_store_that_is_locked_at_the_start_is_waited_for_until_it_is_free_or_the_server_is_told_to_end() {
    let mut pair = Pair::at_work();
    pair.kill_both();
    let mut conn = store(&pair);
    diesel::sql_query("BEGIN EXCLUSIVE").execute(&mut conn).unwrap();
    let waits = |pair: &Pair| pair.log(First).matches("waiting for the store, actor: server, reason: SQLite at ").count();
    for (signal, before) in [(Signal::SIGTERM, 0), (Signal::SIGHUP, 1)] {
        pair.start_server(First, None);
        assert!(eventually(PATIENCE, || waits(&pair) > before), "{}", pair.log(First));
        pair.server(First).signal(signal);
        assert_eq!(pair.server(First).ended(PATIENCE).and_then(|status| status.code()), Some(0), "{}", pair.log(First));
        let said = format!("told to end before it had started, actor: server, signal: {signal}");
        assert!(pair.log(First).contains(&said), "{}", pair.log(First));
    }
    pair.start_server(First, None);
    pair.start_server(Second, None);
    assert!(eventually(PATIENCE, || waits(&pair) == 3), "{}", pair.log(First));
    diesel::sql_query("ROLLBACK").execute(&mut conn).unwrap();
    pair.wait_for_pair(PATIENCE);
    pair.wait_for_log(First, "the store is there", PATIENCE);
    assert_eq!(waits(&pair), 3, "told once a start: {}", pair.log(First));
}

#[test]
fn a_process_that_is_just_ending_is_waited_for_and_one_that_stays_is_told() {
    let pair = Pair::init();
    let directory = Layout::of(&pair.config(First)).journal();
    let lock = fs::File::options().create(true).truncate(false).write(true).open(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    says(&pair.config_file(First), &["another process is using this directory", &directory.display().to_string()]);
    // The start ends at a port that is taken, once it has the lock.
    let _taken = TcpListener::bind(pair.config(First).terminals.listen).unwrap();
    std::thread::scope(|scope| {
        let start = scope.spawn(|| refused_start(&pair.config_file(First)));
        // It meets the lock meanwhile.
        let _ = eventually(Duration::from_millis(500), || start.is_finished());
        drop(lock);
        let (_, said) = start.join().unwrap();
        assert!(said.contains("terminals.listen"), "{said}");
    });
}

#[test]
fn the_store_of_the_other_server_is_refused_while_that_one_uses_it() {
    let mut pair = Pair::init();
    let store = pair.config(First).store.url;
    pair.store_in(Second, &store);
    pair.start_witness();
    pair.start_server(First, None);
    pair.wait_for_log(First, "starting", PATIENCE);
    says(&pair.config_file(Second), &["line ", "store.url: ", "another server uses it"]);
}

#[test]
fn a_damaged_slot_of_the_coordination_file_is_told_and_costs_nothing() {
    let pair = Pair::init();
    let file = Layout::of(&pair.config(First)).coordination().join("coordination");
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, bytes).unwrap();
    let _taken = TcpListener::bind(pair.config(First).terminals.listen).unwrap();
    let told = |said: &str| said.contains("two slots could not be read") && said.contains(&file.display().to_string());
    let (code, said) = refused_start(&pair.config_file(First));
    assert!(code == Some(1) && told(&said), "{said}");
    let (_, said) = refused_start(&pair.config_file(First));
    assert!(!told(&said), "both are written anew: {said}");
}

#[test]
fn a_store_that_is_made_by_a_newer_version_or_damaged_is_named_at_the_start() {
    let mut pair = Pair::at_work();
    pair.kill_both();
    let file = Layout::of(&pair.config(First)).sqlite();
    let name = file.display().to_string();
    let mut conn = store(&pair);
    let newer = "INSERT INTO __diesel_schema_migrations (version, run_on) VALUES ('29990101000000', CURRENT_TIMESTAMP)";
    diesel::sql_query(newer).execute(&mut conn).unwrap();
    drop(conn);
    says(&pair.config_file(First), &[&name, "newer"]);
    fs::write(&file, [7; 8192]).unwrap();
    says(&pair.config_file(First), &[&name]);
}

#[test]
fn a_store_from_another_time_or_pair_is_named_at_the_start() {
    let mut pair = Pair::at_work();
    pair.kill_both();
    let change = |what: &str| diesel::sql_query(what).execute(&mut store(&pair)).unwrap();
    change("UPDATE applied SET sequence = sequence + 1000");
    says(&pair.config_file(First), &["store", "ahead of the journal"]);
    change("UPDATE applied SET sequence = sequence - 1000, digest = zeroblob(32)");
    says(&pair.config_file(First), &["store", "another history"]);
}

#[test]
fn a_store_that_is_lost_is_filled_again_from_the_journal() {
    let mut pair = Pair::at_work();
    let id = CommandIds::draw();
    let deposit = pair.request("seat-1", &id, "deposit", json!({"card_id": "C00000001", "rate_id": 1, "units": 77}));
    let first = pair.line(First).ask(&deposit).unwrap();
    pair.kill_both();
    let file = Layout::of(&pair.config(First)).sqlite();
    for suffix in ["", "-wal", "-shm"] {
        // The last two are there only while a server runs, or after it was killed.
        let _ = fs::remove_file(format!("{}{suffix}", file.display()));
    }
    pair.start_server(First, None);
    pair.start_server(Second, None);
    assert_eq!(pair.wait_for_pair(PATIENCE), First);
    pair.wait_for_log(First, "the store is not there; it is made anew and filled again from the journal", PATIENCE);
    assert!(pair.log(First).contains(&file.display().to_string()), "{}", pair.log(First));
    assert!(!pair.log(Second).contains("the store is not there"), "{}", pair.log(Second));
    let mode = |file: &str| fs::metadata(file).unwrap().permissions().mode() & 0o777;
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&format!("{}{suffix}", file.display())), 0o600, "store{suffix}");
    }
    let again = pair.line(First).ask(&deposit).unwrap();
    assert_eq!(
        (&again["repeated"], &again["body"], &again["sequence"]),
        (&json!(true), &first["body"], &first["sequence"]),
        "{again}"
    );
}

#[test]
fn a_store_that_is_locked_while_the_server_works_is_told_and_caught_up_with() {
    let pair = Pair::at_work();
    let deposit = |pair: &Pair| {
        pair.request("seat-1", &CommandIds::draw(), "deposit", json!({"card_id": "C00000001", "rate_id": 1, "units": 1}))
    };
    let mut line = pair.line(First);
    let first = line.ask(&deposit(&pair)).unwrap()["body"]["balance"].as_i64().unwrap();
    let mut conn = store(&pair);
    diesel::sql_query("PRAGMA busy_timeout = 5000").execute(&mut conn).unwrap();
    diesel::sql_query("BEGIN EXCLUSIVE").execute(&mut conn).unwrap();
    for units in 1..=50 {
        let answer = line.ask(&deposit(&pair)).unwrap();
        assert_eq!(answer["body"]["balance"].as_i64(), Some(first + units), "{answer}");
    }
    pair.wait_for_log(First, "cannot apply; trying again", PATIENCE);
    assert!(pair.log(First).contains("locked"), "{}", pair.log(First));
    diesel::sql_query("ROLLBACK").execute(&mut conn).unwrap();
    drop(conn);
    let applied = || balance_in_store(&pair) == Some(first + 50);
    assert!(eventually(Duration::from_secs(10), applied), "the store holds {:?}, not {}", balance_in_store(&pair), first + 50);
    assert_eq!(pair.wait_for_pair(PATIENCE), First);
}

fn balance_in_store(pair: &Pair) -> Option<i64> {
    #[derive(QueryableByName)]
    struct Balance {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        balance: i64,
    }
    let sql = "SELECT account.balance AS balance FROM account JOIN card ON card.member_no = account.member_no \
               WHERE card.card_id = 'C00000001' AND account.rate_id = 1";
    let found = diesel::sql_query(sql).get_result::<Balance>(&mut store(pair));
    found.ok().map(|found| found.balance)
}
