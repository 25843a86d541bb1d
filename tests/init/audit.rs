//! The audit passes over an untouched pair and names each planted difference.

use duplex::cli::audit::{Finding, Report, audit, lost_and_doubled};
use duplex::cli::history;
use duplex::ledger::Ledger;
use duplex::model::{CommandId, DataId, TerminalId};
use duplex::store;
use serde_json::Value;

use crate::postgres::Postgres;
use crate::servers::{History, NAMES, Servers};
use crate::{duplex, stderr, stdout};

fn servers() -> Servers {
    Servers::alike(&History::of_a_day())
}

#[test]
fn an_untouched_pair_holds() {
    let report = servers().audit();
    assert!(report.holds, "{report}");
    assert_eq!(report.digests_equal, Some(true));
    let both = report.comparison.unwrap();
    assert_eq!((both.positions_equal, both.journals_equal_up_to), (true, Some(report.servers[0].position.sequence)));
}

#[test]
fn a_pair_holds_while_old_records_leave_however_each_server_batched_its_entries() {
    let history = History::of_fifteen_days();
    let server = Postgres::shared();
    let servers = Servers::of_two_engines(&history, server.new_database());
    let again = Servers::each([&history.entries; 2].map(Vec::as_slice), [history.entries.len() - 1; 2]);
    let mut store = store::open::<Ledger>(&again.target(0).store).unwrap();
    store.apply(&history.entries[history.entries.len() - 1..]).unwrap();
    assert_eq!(store.digest(), store::open::<Ledger>(&servers.target(1).store).unwrap().digest());
    assert_eq!(store.records_forgotten_through().unwrap().0, 5);
    let report = servers.audit();
    assert!(report.holds && report.digests_equal == Some(true), "{report}");
}

#[test]
fn a_pair_with_a_different_engine_on_each_side_holds() {
    let server = Postgres::shared();
    let report = Servers::of_two_engines(&History::of_a_day(), server.new_database()).audit();
    assert!(report.holds && report.digests_equal == Some(true), "{report}");
}

#[test]
fn one_server_alone_is_audited_without_a_comparison() {
    let servers = servers();
    let report = audit(&[servers.target(1)]).unwrap();
    assert!(report.holds && report.digests_equal.is_none() && report.comparison.is_none(), "{report}");
}

#[test]
fn the_tables_digests_are_those_of_the_store_itself() {
    let servers = servers();
    let own = store::open::<Ledger>(&servers.target(0).store).unwrap().digest().unwrap();
    let own = own.tables.iter().map(|table| (table.table, table.rows, blake3::Hash::from_bytes(table.digest).to_string()));
    let report = servers.audit();
    let found = report.servers[0].tables.iter().map(|table| (table.table, table.rows, table.digest.clone()));
    assert_eq!(found.collect::<Vec<_>>(), own.collect::<Vec<_>>());
}

/// A change of the second server's store, and what must be said of it: check, table, part of the key, part of what was found.
const PLANTED: [(&str, &[[&str; 4]]); 13] = [
    (
        "UPDATE account SET balance = 999",
        &[["I1", "account", "1001", "999"], ["I2", "rate", "1", "999"], ["P7", "account", "1001", "balance 999"]],
    ),
    ("DELETE FROM ledger WHERE ledger_no = 1", &[["I5", "ledger", "2 number", "2"], ["P7", "ledger", "1", "none"]]),
    ("UPDATE ledger SET delta = 1001 WHERE ledger_no = 1", &[["I1", "ledger", "1", "1000"], ["I5", "ledger", "1 hash", ""]]),
    ("UPDATE site SET last_ledger_no = 9", &[["I5", "site", "last number of ledger", "9"]]),
    ("UPDATE audit_event SET detail = 'quiet' WHERE event_no = 1", &[["I5", "audit_event", "1 hash", ""]]),
    ("UPDATE daily_draw SET limit_yen = 1", &[["I3", "daily_draw", "member 1", "1"]]),
    ("UPDATE payout SET state = 'authorised', delivered = NULL", &[["I9", "payout", "1", "authorised"]]),
    ("UPDATE business_day SET state = 'open'", &[["I9", "business_day", "20635", "Some(20635)"]]),
    (
        "DELETE FROM command_record WHERE sequence = 5",
        &[["I4", "command_record", "5", "none"], ["I4", "command_record", "counter", "ledger rows [1]"]],
    ),
    ("UPDATE command_record SET response = x'00' WHERE sequence = 5", &[["I4", "command_record", "5", "another"]]),
    ("UPDATE member SET name = '別人'", &[["P7", "member", "1", "name (not shown)"]]),
    ("UPDATE payout SET state = 'lost'", &[["readable", "payout", "from the first on", "lost"]]),
    ("UPDATE applied SET digest = zeroblob(32)", &[["journal", "applied", "", ""], ["P7", "applied", "position", "00000000"]]),
];

#[test]
fn each_planted_difference_is_named_with_table_key_and_what_was_found() {
    for (sql, expected) in PLANTED {
        let servers = servers();
        servers.spoil(sql);
        let report = servers.audit();
        assert!(!report.holds && report.digests_equal == Some(false), "{sql}: {report}");
        for [check, table, key, found] in expected {
            let named = |f: &Finding| f.check == *check && f.table == *table && f.key.contains(key) && f.found.contains(found);
            assert!(report.findings().any(|(_, finding)| named(finding)), "{sql}: no {check} {table} {key} in:\n{report}");
        }
        assert!(report.servers[0].findings.is_empty(), "{sql}: the untouched server was blamed: {report}");
    }
}

/// No invariant of the ledger speaks of a member's name, and two servers that were changed alike are equal.
#[test]
fn a_store_that_is_not_its_journal_applied_is_told_though_it_breaks_no_invariant_and_both_are_alike() {
    for (sql, table, key, found) in [
        ("UPDATE member SET name = '別人'", "member", "Member(1)", "another row"),
        ("DELETE FROM daily_draw", "", "a row of entry", "none"),
        ("INSERT INTO staff SELECT 'nobody', name, role, password_hash, active FROM staff LIMIT 1", "staff", "nobody", "a row"),
    ] {
        let servers = servers();
        servers.spoil(sql);
        let named = |f: &Finding| f.check == "journal" && f.table == table && f.key.contains(key) && f.found == found;
        let alone = audit(&[servers.target(1)]).unwrap();
        assert!(!alone.holds && alone.findings().any(|(_, finding)| named(finding)), "{sql}: {alone}");
        servers.spoil_first(sql);
        let both = servers.audit();
        assert_eq!((both.holds, both.digests_equal), (false, Some(true)), "{sql}: {both}");
        assert_eq!(both.findings().filter(|(_, finding)| named(finding)).count(), 2, "{sql}: {both}");
    }
}

fn names(report: &Report, check: &str, key: &str) -> bool {
    report.findings().any(|(_, finding)| finding.check == check && finding.key == key)
}

#[test]
fn a_store_that_stays_behind_is_a_note_with_both_positions_and_breaks_no_promise() {
    let history = History::of_a_day();
    let all = history.entries.len();
    let report = Servers::each([&history.entries, &history.entries], [all, all - 1]).audit();
    assert!(report.holds && report.digests_equal.is_none(), "{report}");
    let comparison = report.comparison.as_ref().unwrap();
    assert_eq!((comparison.positions_equal, comparison.journals_equal_up_to), (false, Some(all as u64)));
    for part in ["applied positions differ", &format!("1/{all} "), &format!("1/{} ", all - 1), "start both servers"] {
        assert!(comparison.notes[0].contains(part), "{part}: {report}");
    }
    assert!(report.to_string().ends_with("everything that could be checked holds"), "{report}");
}

#[test]
fn a_server_whose_files_are_elsewhere_is_named_and_the_other_one_is_checked() {
    let servers = servers();
    let [one, mut other] = servers.targets();
    other.store = "sqlite:/on/another/box/store.db".to_owned();
    let report = audit(&[one, other.clone()]).unwrap();
    assert!(!report.holds && report.findings().count() == 0 && report.servers.len() == 1, "{report}");
    let said = format!("{} was not checked: /on/another/box/store.db is not on this machine", NAMES[1]);
    assert!(report.to_string().contains(&said), "{report}");
    assert!(audit(&[other.clone(), other]).unwrap_err().message.contains("not on this machine"));
}

#[test]
fn two_journals_that_part_are_told_where() {
    let (mut one, mut other) = (History::of_a_day(), History::of_a_day());
    let common = one.entries.len();
    one.repeat_the_last();
    let again = postcard::from_bytes(&one.entries[0].entry.record.response).unwrap();
    other.push(&TerminalId("seat-2".into()), CommandId([9; 16]), &again, Vec::new());
    let report = Servers::each([&one.entries, &other.entries], [common; 2]).audit();
    assert!(names(&report, "P7", &(common + 1).to_string()), "{report}");
    assert_eq!(report.comparison.unwrap().journals_equal_up_to, None);
}

#[test]
fn a_command_with_two_entries_is_told() {
    let mut history = History::of_a_day();
    history.repeat_the_last();
    let report = Servers::alike(&history).audit();
    assert!(names(&report, "P3", &history.entries.len().to_string()), "{report}");
}

#[test]
fn a_record_gone_bad_inside_a_journal_is_told() {
    use std::os::unix::fs::FileExt;
    let servers = servers();
    let file = std::fs::File::options().read(true).write(true).open(servers.journal_file(1)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 6_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 6_000).unwrap();
    let report = servers.audit();
    assert!(report.findings().any(|(server, finding)| server == NAMES[1] && finding.table == "journal"), "{report}");
}

#[test]
fn a_running_server_keeps_its_lock_and_its_files_while_it_is_audited() {
    use duplex::journal::{Directory, Journal, Limits};
    let servers = servers();
    let limits = Limits { segment_bytes: 2 << 20, ..Limits::default() };
    let files = Directory::open(servers.target(1).journal).unwrap();
    let _running = Journal::open(files, limits, DataId([1; 16])).unwrap();
    let before = std::fs::read(servers.journal_file(1)).unwrap();
    assert!(servers.audit().holds);
    assert!(std::fs::read(servers.journal_file(1)).unwrap() == before, "the audit wrote into a journal");
}

#[test]
fn the_program_says_it_in_json_and_by_its_exit_code() {
    let servers = servers();
    let [one, other] = servers.targets();
    let journals = [&one, &other].map(|target| target.journal.to_str().unwrap().to_owned());
    let mut arguments = vec!["audit", "--json", "--store", &one.store, "--journal", &journals[0]];
    arguments.extend(["--store", &other.store, "--journal", &journals[1]]);
    let good = duplex(&arguments);
    let said: Value = serde_json::from_str(&stdout(&good)).unwrap();
    assert!(good.status.success() && said["holds"] == true && said["digests_equal"] == true, "{said}");

    servers.spoil("UPDATE account SET balance = 999");
    let bad = duplex(&arguments);
    let said: Value = serde_json::from_str(&stdout(&bad)).unwrap();
    assert_eq!((bad.status.code(), &said["holds"]), (Some(1), &Value::Bool(false)));
    assert_eq!(stderr(&bad).lines().count(), 1, "{}", stderr(&bad));
}

#[test]
fn a_store_that_does_not_exist_is_not_made() {
    let servers = servers();
    let mut target = servers.target(0);
    target.store.push_str(".missing");
    let refused = audit(std::slice::from_ref(&target)).unwrap_err();
    assert!(refused.message.contains("hall-a") && refused.message.contains("not made yet"), "{refused}");
    assert!(!std::path::Path::new(target.store.strip_prefix("sqlite:").unwrap()).exists());
}

#[test]
fn an_acknowledged_command_is_lost_if_either_journal_lacks_it_and_doubled_if_either_has_it_twice() {
    let (history, mut twice) = (History::of_a_day(), History::of_a_day());
    twice.repeat_the_last();
    let last = history.entries.last().unwrap();
    let (terminal, command) =
        (&last.entry.record.terminal_id.0, last.entry.record.command_id.0.map(|b| format!("{b:02x}")).concat());
    let line = format!(
        "{{\"event\":\"sent\",\"at_us\":1,\"terminal_id\":\"{terminal}\",\"command_id\":\"{command}\",\"command\":\"close_day\"}}\n\
         {{\"event\":\"answered\",\"at_us\":2,\"command_id\":\"{command}\",\"status\":\"ok\",\"code\":\"\",\"stored_on\":\"both\",\
         \"epoch\":1,\"sequence\":{},\"repeated\":false,\"tries\":1}}\n",
        last.position.sequence.0
    );
    let told = history::read(line.as_bytes()).unwrap();
    let judged = |stored: [&History; 2]| {
        let [one, other] = stored;
        let servers = Servers::each([&one.entries, &other.entries], [1, 1]);
        let [one, other] = servers.targets();
        lost_and_doubled(&told, &[&one.journal, &other.journal]).unwrap()
    };
    let mut short = History::of_a_day();
    short.entries.pop();
    assert_eq!(judged([&history, &history]), history::Comparison::default());
    let only = vec![command];
    assert_eq!(judged([&history, &short]).lost, only);
    assert_eq!(judged([&twice, &history]).doubled, only);
}
