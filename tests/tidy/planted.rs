//! Each rule catches the violation planted for it, and lets its nearest lawful neighbour pass.

use super::rules;
use super::source::Source;

fn at(path: &str, text: &str) -> Source {
    Source::new(path, text)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn wrong_import(path: &str, text: &str) -> bool {
    !rules::imports_run_one_way(&at(path, text)).is_empty()
}

#[test]
fn an_import_against_the_direction_is_caught_in_every_spelling() {
    for text in [
        "use crate::actors::Sick;",
        "use crate::{model::Epoch, actors::{Sick, Work}};",
        "fn f() -> crate::cli::Exit { crate::cli::Exit::Done }",
        "use super::super::run;",
        "mod inner { use super::super::super::run; }",
        "use super::super::{model, run};",
    ] {
        assert!(wrong_import("src/store/apply.rs", text), "{text}");
    }
    assert!(wrong_import("src/journal/writer.rs", "use crate::clock::now;"));
    assert!(wrong_import("src/network/port.rs", "use crate::wire::link;"));
    assert!(wrong_import("src/main.rs", "use duplex::run;"));
    assert!(wrong_import("src/novelty.rs", ""));
}

#[test]
fn an_import_in_the_direction_of_the_house_passes() {
    for text in [
        "use crate::model::{Epoch, Sequence};",
        "use super::apply::Batch; use super::super::model;",
        "// use crate::run;\nconst TEXT: &str = \"crate::run\"; /* crate::cli */",
        "#[cfg(test)]\nmod tests { use crate::run; fn f(x: [u8; 2]) { } }",
        "const C: char = '\"'; use crate::model; const D: &str = r#\"crate::run\"#; fn f<'a>(x: &'a str) {}",
    ] {
        assert!(!wrong_import("src/store/apply.rs", text), "{text}");
    }
    assert!(!wrong_import("src/store/tests.rs", "use crate::run;"));
    assert!(!wrong_import("src/main.rs", "fn main() { duplex::cli::main() }"));
}

#[test]
fn a_decision_that_uses_a_crate_or_a_clock_is_caught() {
    let crates = names(&["tokio", "serde", "blake3"]);
    let impure = |text| !rules::decisions_are_pure(&at("src/machines/health.rs", text), &crates).is_empty();
    assert!(impure("use tokio::time::sleep;"));
    assert!(impure("fn f() { blake3::hash(b\"\"); }"));
    assert!(impure("use std::time::Instant;"));
    assert!(impure("fn f() { let t = std::fs::read(\"x\"); }"));
    assert!(!impure("use serde::Serialize; use std::collections::BTreeMap; use crate::model::Epoch;"));
}

#[test]
fn a_crate_outside_its_home_is_caught() {
    let crates = names(&["pnet", "rtnetlink", "actix_web"]);
    let strays = |path, text| !rules::crates_stay_at_home(&at(path, text), &crates).is_empty();
    assert!(strays("src/actors/address_keeper.rs", "use pnet::packet::arp;"));
    assert!(strays("src/wire/paths.rs", "use {rtnetlink::Handle};"));
    assert!(strays("src/actors/command_acceptor.rs", "use actix_web;"));
    assert!(!strays("src/network/frame.rs", "use pnet::packet::arp; use rtnetlink::Handle;"));
}

#[test]
fn a_table_of_the_application_named_elsewhere_is_caught() {
    let tables = names(&["member", "card"]);
    let knows = |path, text| !rules::only_the_ledger_names_its_tables(&at(path, text), &tables).is_empty();
    assert!(knows("src/store/apply.rs", "use crate::schema::member;"));
    assert!(knows("src/store/apply.rs", "use crate::schema::{applied, card};"));
    assert!(knows("src/store/apply.rs", "use crate::schema::*;"));
    assert!(knows("src/cli/audit.rs", "const SQL: &str = \"SELECT * FROM member\";"));
    assert!(!knows("src/store/apply.rs", "use crate::schema::applied; // FROM member"));
    assert!(!knows("src/store/apply.rs", "#[cfg(test)] mod tests { const S: &str = \"DELETE FROM card\"; }"));
    assert!(!knows("src/ledger/tables.rs", "use crate::schema::member;"));
}

#[test]
fn an_actor_that_knows_a_sibling_is_caught() {
    let actors = names(&["journal_writer", "data_updater"]);
    let knows = |path, text| !rules::actors_hold_recipients(&at(path, text), &actors).is_empty();
    assert!(knows("src/actors/data_updater.rs", "use super::journal_writer::JournalWriter;"));
    assert!(knows("src/actors/data_updater/rows.rs", "struct S { writer: Addr<W> }"));
    assert!(knows("src/console/status.rs", "use crate::actors::data_updater::DataUpdater;"));
    assert!(!knows(
        "src/actors/data_updater.rs",
        "use super::journal_writer::Written; struct DataUpdater { w: Recipient<Written> }"
    ));
    assert!(!knows("src/actors/data_updater/rows.rs", "use super::DataUpdater; fn f(own: Addr<Self>, to: SocketAddr<X>) {}"));
}

#[test]
fn what_is_never_written_is_caught_in_tests_too() {
    for text in [
        "fn f() { todo!() }",
        "fn f() { unimplemented!(\"later\") }",
        "#[ignore = \"slow\"] fn f() {}",
        "fn f() { std::thread::sleep(d) }",
    ] {
        assert!(!rules::nothing_unfinished(&at("tests/storage.rs", text)).is_empty(), "{text}");
    }
    assert!(rules::nothing_unfinished(&at("tests/storage.rs", "// todo! is a word\nfn f() { f(\"todo!\") }")).is_empty());
}

#[test]
fn an_unwrap_outside_tests_is_caught() {
    let unwraps = |path, text| !rules::no_unwrap_outside_tests(&at(path, text)).is_empty();
    assert!(unwraps("src/wire/link.rs", "fn f() { x.unwrap() }"));
    assert!(unwraps("src/wire/link.rs", "#[cfg(test)] mod tests { } fn f() { x.unwrap() }"));
    assert!(!unwraps("src/wire/link.rs", "#[cfg(test)] mod tests { fn f() { x.unwrap() } } fn g() { x.unwrap_or(1) }"));
    assert!(!unwraps("src/wire/link_tests.rs", "fn f() { x.unwrap() }"));
}

#[test]
fn a_file_without_a_first_sentence_is_caught() {
    assert!(!rules::a_file_says_what_it_is(&at("src/clock.rs", "use std::time;\n//! Late.")).is_empty());
    assert!(rules::a_file_says_what_it_is(&at("src/clock.rs", "//! The two clocks.\n")).is_empty());
}

#[test]
fn a_long_file_is_caught_and_so_is_an_exception_that_is_needed_no_more() {
    let long = |path, lines, exceptions| !rules::files_are_short(&at(path, &"//! x\n".repeat(lines)), exceptions).is_empty();
    assert!(long("src/a.rs", 401, &[]));
    assert!(!long("src/a.rs", 400, &[]));
    assert!(long("src/main.rs", 60, &[]));
    assert!(!long("src/main.rs", 59, &[]));
    let own = &[("src/a.rs", 450, "a table")];
    assert!(!long("src/a.rs", 450, own));
    assert!(long("src/a.rs", 451, own));
    assert!(long("src/a.rs", 400, own));
}

#[test]
fn a_long_function_is_caught_wherever_it_stands() {
    let body = |lines: usize| {
        format!("impl A {{\n    fn f(x: [u8; 3]) -> fn(u8) {{\n{}    }}\n    fn g();\n}}\n", "x();\n".repeat(lines))
    };
    let long = |lines, own| !rules::functions_are_short(&at("src/a.rs", &body(lines)), own).is_empty();
    assert!(long(59, &[]));
    assert!(!long(58, &[]));
    let own = &[("src/a.rs", "f", 70, "a table")];
    assert!(!long(68, own));
    assert!(long(69, own));
    assert!(long(58, own));
}

#[test]
fn a_limit_without_a_reason_is_caught() {
    let breaches = |text| rules::every_limit_says_where_its_number_came_from(&at(super::house::LIMITS, text)).len();
    assert_eq!(breaches("/// From a measurement.\npub const PATH_MAX: u8 = 1;\npub const FRAME_MAX: u8 = 2;\n"), 1);
    assert_eq!(breaches("pub const PATH_MAX: u8 = 1;\n"), 1);
    assert_eq!(breaches("/// How long, and how often.\npub const PATH_MAX: u8 = 1;\npub const PATH_POLL: u8 = 2;\n"), 0);
    assert_eq!(breaches("/// How long.\npub const PATH_MAX: u8 = 1;\n\npub const PATH_POLL: u8 = 2;\n"), 1);
}
