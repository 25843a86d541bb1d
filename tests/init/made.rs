//! What `duplex init` makes, and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use duplex::cli::init::{Args, make};
use duplex::cli::rolls;
use duplex::config::{Addresses, Config};
use duplex::journal::digest::decode;
use duplex::journal::{CoordinationFile, Directory, Journal, Limits, scan};
use duplex::layout::{Layout, WitnessKeys, ledger_secrets};
use duplex::ledger::rows::{Row, StaffRole, TerminalKind};
use duplex::model::{Coordination, Epoch, Holder, Image, Sequence, ServerId};
use duplex::wire::first_register::verify_register;
use duplex::wire::identity::{Identity, load_authority};
use duplex::wire::pki::{CertificateRole, PairAuthority};
use tempfile::TempDir;

use crate::{duplex, stderr, stdout};

fn answers(out: &Path) -> Args {
    Args {
        out: Some(out.into()),
        servers: ["hall-a=127.0.0.1", "hall-b=127.0.0.2"].map(|server| server.parse().unwrap()).into(),
        witness: Some("127.0.0.3:7410".parse().unwrap()),
        store: "sqlite".into(),
        terminals: 3,
        site: "Site \"one\"".into(),
        profile: "generic".into(),
        ..Args::default()
    }
}

/// A pair below a directory of the test's own.
fn made(change: impl FnOnce(&mut Args, &Path)) -> (TempDir, PathBuf, [Config; 2]) {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("pair");
    let mut args = answers(&out);
    change(&mut args, directory.path());
    make(&args).unwrap();
    let configs = ["hall-a", "hall-b"].map(|name| Config::load(&out.join(name).join("duplex.toml")).unwrap());
    (directory, out, configs)
}

/// Images of the first entry, and its position.
fn first_entry(config: &Config) -> (Vec<Image<Row>>, duplex::model::Position) {
    let files = Directory::open(Layout::of(config).journal()).unwrap();
    let mut images = Vec::new();
    let scanned = scan(&files, Sequence(0), |_, payload| {
        images.extend(decode::<Row>(payload).unwrap().images);
        std::ops::ControlFlow::Continue(())
    });
    (images, scanned.unwrap().unwrap().end)
}

#[test]
fn both_configurations_parse_name_each_other_and_explain_every_key() {
    let (_directory, out, configs) = made(|_, _| {});
    assert_eq!(configs.each_ref().map(Config::id), [ServerId::A, ServerId::B]);
    assert_eq!(configs[0].peer.address, configs[1].peer.listen);
    assert_eq!(configs[0].peer.heartbeats[0].peer, configs[1].peer.heartbeats[0].local);
    let text = fs::read_to_string(out.join("hall-a/duplex.toml")).unwrap();
    let mut before = "";
    for line in text.lines() {
        let key = line.contains(" = ") && !line.starts_with('#') && !line.starts_with(' ');
        assert!(!key || before.starts_with('#') || before == "kind = \"witness\"", "{line:?} stands without a comment");
        before = line;
    }
}

#[test]
fn every_certificate_loads_in_its_role_and_no_other_pair_is_believed() {
    let (_directory, out, configs) = made(|_, _| {});
    for (config, server) in configs.iter().zip([ServerId::A, ServerId::B]) {
        let layout = Layout::of(config);
        assert_eq!(layout.server_identity().unwrap().role, CertificateRole::Server(server));
        assert_eq!(layout.terminal_identity().unwrap().role, CertificateRole::Terminal);
    }
    assert_eq!(WitnessKeys(out.join("witness/keys")).identity().unwrap().role, CertificateRole::Witness);
    let read = |name: &str| fs::read_to_string(out.join("ca").join(name)).unwrap();
    let authority = PairAuthority::from_pem(&read("ca.pem"), &read("ca.key")).unwrap();
    let issued = authority.issue(CertificateRole::Witness, &[]).unwrap();
    assert!(Identity::from_pem(&fs::read_to_string(out.join("ca.pem")).unwrap(), &issued).is_ok());
}

#[test]
fn both_servers_begin_with_the_same_entry_and_the_same_first_register() {
    let (_directory, out, configs) = made(|_, _| {});
    let [one, other] = configs.each_ref().map(|config| first_entry(config).1);
    assert_eq!((one, one.epoch, one.sequence), (other, Epoch(1), Sequence(1)));
    let authority = load_authority(&out.join("ca.pem")).unwrap();
    let [register, again] = configs
        .each_ref()
        .map(|config| verify_register(&authority, &fs::read_to_string(Layout::of(config).first_register()).unwrap()).unwrap());
    assert_eq!(register, again);
    assert_eq!((register.epoch, register.holder), (Epoch(1), Holder::Pair { main: ServerId::A }));
    for (config, server) in configs.iter().zip([ServerId::A, ServerId::B]) {
        let layout = Layout::of(config);
        let file = CoordinationFile::open(Directory::open(layout.coordination()).unwrap()).unwrap();
        assert_eq!(file.current(), &Coordination::first(server, &register));
        let (journal, recovered) =
            Journal::open(Directory::open(layout.journal()).unwrap(), Limits::default(), register.data_ids[server.index()])
                .unwrap();
        assert!(!recovered.created && journal.end() == one);
    }
}

#[test]
fn the_first_entry_is_the_site_and_its_keys_and_password_are_those_of_the_files() {
    let (_directory, out, configs) = made(|_, _| {});
    let (images, _) = first_entry(&configs[0]);
    let rows = images.into_iter().map(|image| if let Image::Put(row) = image { row } else { panic!("a deletion") });
    let enrolled = rolls::read(&out.join("terminals.csv")).unwrap();
    let seats = enrolled.iter().filter(|row| row.kind == TerminalKind::Seat).count();
    assert_eq!((seats, enrolled.len()), (3, 6));
    let secrets = ledger_secrets(&Layout::of(&configs[1]).pair_secret().unwrap());
    let password = fs::read_to_string(out.join("password.txt")).unwrap();
    let mut met = 0;
    for row in rows {
        match row {
            Row::Site(site) => assert_eq!((site.name.as_str(), site.profile.as_str()), ("Site \"one\"", "generic")),
            Row::Staff(staff) => {
                assert_eq!((staff.staff_id.as_str(), staff.role), ("manager", StaffRole::Manager));
                assert_eq!(staff.password_hash, secrets.password_hash("manager", password.trim_end()).unwrap());
            }
            Row::Terminal(terminal) => {
                let own = enrolled.iter().find(|row| row.terminal_id == terminal.terminal_id).unwrap();
                assert_eq!((own.kind, *blake3::hash(own.key.as_bytes()).as_bytes()), (terminal.kind, terminal.key_hash));
                met += 1;
            }
            _ => {}
        }
    }
    assert_eq!(met, enrolled.len());
}

#[test]
fn whatever_is_secret_is_readable_by_its_owner_only() {
    let (_directory, out, _) = made(|_, _| {});
    let mode = |path: &str| fs::metadata(out.join(path)).unwrap().permissions().mode() & 0o777;
    for secret in
        ["ca/ca.key", "hall-a/keys/server.key", "hall-a/keys/terminal.key", "hall-b/keys/secret", "witness/keys/witness.key"]
    {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    for secret in ["terminals.csv", "password.txt", "hall-a/duplex.toml"] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    for directory in ["ca", "hall-a/keys", "hall-b/data", "witness/keys"] {
        assert_eq!(mode(directory), 0o700, "{directory}");
    }
    assert_eq!(mode("ca.pem"), 0o644);
}

#[test]
fn data_and_service_addresses_go_where_they_were_told() {
    let (directory, _, configs) = made(|args, directory| {
        args.data = Some(directory.join("disk"));
        args.interface = Some("eth0".into());
        args.main_address = ["10.0.0.100", "fd00::100"].map(|address| address.parse().unwrap()).into();
        args.sub_address = vec!["10.0.0.101".parse().unwrap()];
        args.gateway = ["10.0.0.254", "fe80::1"].map(|address| address.parse().unwrap()).into();
        args.store = "postgres://duplex@db-{server}/duplex".into();
    });
    assert_eq!(configs[1].server.data, directory.path().join("disk/hall-b"));
    assert!(directory.path().join("disk/hall-b/journal").is_dir());
    assert_eq!(configs[1].store.url, "postgres://duplex@db-hall-b/duplex");
    assert_eq!(configs[0].terminals.listen.to_string(), "[::]:7300", "a service address comes and goes, here one of IPv6");
    let Addresses::Alias { interface, main, sub, gateway } = &configs[0].addresses else { panic!("they move") };
    assert_eq!((interface.as_str(), main.len(), sub.len(), gateway.len()), ("eth0", 2, 1, 2));
}

const SITE: &str = r#"
name = "遊技場 一号店"
profile = "hall-ja"
rates = [{ rate_id = 1, medium = "ball", name = "4円", lend_units = 125, lend_yen = 500, payout_step = 125, max_units = 250000 }]
staff = [
    { staff_id = "suzuki", name = "鈴木", role = "clerk" },
    { staff_id = "sato", name = "佐藤", role = "supervisor" },
]
terminals = [
    { terminal_id = "office", kind = "analysis", zone = "事務所" },
    { terminal_id = "seat-1", kind = "seat", zone = "A", machine_no = "1", rate_id = 1,
      key_hash = "0000000000000000000000000000000000000000000000000000000000000000" },
]
"#;

fn with_site_file(text: &str) -> (TempDir, Result<(), String>) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("site.toml");
    fs::write(&file, text).unwrap();
    let args = Args { site_file: Some(file), ..answers(&directory.path().join("pair")) };
    let done = make(&args).map(drop).map_err(|failure| failure.message);
    (directory, done)
}

#[test]
fn a_site_file_needs_no_secrets_and_the_first_password_opens_the_day() {
    let (directory, done) = with_site_file(SITE);
    done.unwrap();
    let read = |name: &str| fs::read_to_string(directory.path().join("pair").join(name)).unwrap();
    assert_eq!(rolls::read(&directory.path().join("pair/terminals.csv")).unwrap().len(), 1, "seat-1 has its key already");
    let staff = read("staff.csv");
    let first = staff.lines().nth(1).unwrap();
    assert_eq!(first, format!("sato,{}", read("password.txt").trim_end()));
}

#[test]
fn a_site_file_that_is_wrong_is_refused_by_one_line_naming_the_field_and_nothing_is_left() {
    let wrong = [
        ("rate_id = 1, medium = \"ball\"", "rate_id = 2, medium = \"ball\"", "rates[0].rate_id"),
        ("kind = \"analysis\"", "kind = \"desk\"", "terminals[0].kind"),
        ("role = \"supervisor\"", "role = \"clerk\"", "staff"),
        ("staff_id = \"sato\"", "staff_id = \"sato\", password_hash = \"00\"", "staff[1].password_hash"),
        ("profile = \"hall-ja\"", "profile = ", "line 3"),
        ("name = \"鈴木\"", "name = \"鈴木\", age = 3", "staff[0]"),
    ];
    for (from, to, named) in wrong {
        assert!(SITE.contains(from), "{from}");
        let (directory, done) = with_site_file(&SITE.replacen(from, to, 1));
        let message = done.unwrap_err();
        assert!(message.contains(named) && message.contains("site.toml") && !message.contains('\n'), "{message}");
        assert!(!directory.path().join("pair").exists(), "{named}: something was written");
    }
}

#[test]
fn wrong_answers_are_refused_by_one_line_that_names_the_flag() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("pair");
    let good =
        ["--out", out.to_str().unwrap(), "--server", "a=127.0.0.1", "--server", "b=127.0.0.2", "--witness", "127.0.0.3:7410"];
    let wrong: [(&str, &str, &str); 11] = [
        ("b=127.0.0.2", "b=127.0.0.1", "--server"),
        ("b=127.0.0.2", "a=127.0.0.2", "server.pair"),
        ("b=127.0.0.2", "witness=127.0.0.2", "--server"),
        ("b=127.0.0.2", "b/c=127.0.0.2", "server.pair"),
        ("b=127.0.0.2", "b=0.0.0.0", "--server"),
        ("b=127.0.0.2", "b=fd00::2", "from IPv4 to IPv6"),
        ("", "--store=postgres://duplex@db/duplex", "put {server} where their names differ"),
        ("127.0.0.3:7410", "0.0.0.0:7410", "--witness"),
        ("--witness", "", "--witness"),
        ("", "--store=mysql://x", "--store"),
        ("", "--profile=other", "profile"),
    ];
    for (from, to, named) in wrong {
        let mut arguments = vec!["init"];
        match (from, to) {
            ("--witness", "") => arguments.extend(&good[..6]),
            ("", more) => arguments.extend(good.iter().chain([&more])),
            _ => arguments.extend(good.iter().map(|word| if *word == from { to } else { word })),
        }
        let refused = duplex(&arguments);
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{to}: {said}");
        assert!(said.lines().count() == 1 && said.contains(named), "{to}: {said}");
        assert!(!out.exists(), "{to}: something was written");
    }
}

#[test]
fn a_directory_that_is_not_empty_is_left_as_it_is() {
    let (_directory, out, _) = made(|_, _| {});
    let before = fs::read(out.join("hall-a/keys/secret")).unwrap();
    let refused = make(&answers(&out)).unwrap_err();
    assert!(refused.message.contains("not empty"), "{refused}");
    assert_eq!(fs::read(out.join("hall-a/keys/secret")).unwrap(), before);
}

#[test]
fn the_last_words_are_the_three_commands_to_run_next() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("my pair");
    let mut arguments = vec!["init", "--out", out.to_str().unwrap(), "--server", "a=127.0.0.1", "--server", "b=127.0.0.2"];
    arguments.extend(["--witness", "127.0.0.3:7410", "--terminals", "1"]);
    let said = stdout(&duplex(&arguments));
    let commands: Vec<_> = said.lines().filter(|line| line.starts_with("  duplex ")).collect();
    assert_eq!(commands.len(), 3, "{said}");
    assert!(commands[0].contains("witness --listen 127.0.0.3:7410"), "{said}");
    assert!(commands[2].contains(&format!("--config '{}/b/duplex.toml'", out.display())), "{said}");
}

#[test]
fn the_journal_is_shown_readably_and_as_json() {
    let (_directory, out, _) = made(|_, _| {});
    let config = out.join("hall-b/duplex.toml");
    let shown = stdout(&duplex(&["journal", "show", "--config", config.to_str().unwrap()]));
    assert!(shown.starts_with("1 epoch 1 (") && shown.contains(" init ") && shown.contains(" ok; site "), "{shown}");
    let json = stdout(&duplex(&["journal", "show", "--json", "--config", config.to_str().unwrap()]));
    let entry: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&entry["sequence"], &entry["epoch"], &entry["terminal_id"]), (&1.into(), &1.into(), &"init".into()));
    let none = duplex(&["journal", "show", "--from", "2", "--config", config.to_str().unwrap()]);
    assert!(none.status.success() && none.stdout.is_empty());
    let none = duplex(&["journal", "show", "--count", "0", "--config", config.to_str().unwrap()]);
    assert!(none.status.success() && none.stdout.is_empty());
}
