//! Member files in which rows are not what the service can take.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::pair::{PROGRAM, Pair};

const HEADER: &str = "name,kana,birth_date,card_id,balance:1";

fn import(pair: &Pair, rows: &[&str], more: &[&str]) -> Output {
    let file = pair.file("more.csv");
    fs::write(&file, [&[HEADER], rows].concat().join("\n")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["import", "members", "--json", "--staff", "manager"]).arg(&file);
    command.arg("--terminals-file").arg(pair.file("terminals.csv")).arg("--password-file").arg(pair.file("password.txt"));
    command.args(pair.reach()).args(more).output().unwrap()
}

fn summary(output: &Output) -> [Value; 3] {
    let said = String::from_utf8_lossy(&output.stderr);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    ["imported", "already", "skipped"].map(|key| summary[key].clone())
}

/// A file's rows; number `bad` has a card that is somebody's already.
fn rows_of(count: usize, bad: Option<usize>) -> Vec<String> {
    let card = |n| if Some(n) == bad { "C00000001".to_owned() } else { format!("Y{n}") };
    (0..count).map(|n| format!("山田 {n},ヤマダ,1980-01-02,{},5", card(n))).collect()
}

/// One row beyond the first command: what came before it must not have been applied.
#[test]
fn a_file_of_which_the_service_refuses_one_row_changes_nothing_at_all() {
    let pair = Pair::at_work();
    let bad = rows_of(300, Some(280));
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    let refused = import(&pair, &bad, &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("line 282: CARD_IN_USE") && said.contains("nothing was imported"), "{said}");
    let good = rows_of(300, None);
    let good: Vec<&str> = good.iter().map(String::as_str).collect();
    assert_eq!(summary(&import(&pair, &good, &[])), [json!(300), json!(0), json!(0)]);
    assert_eq!(
        summary(&import(&pair, &good, &[])),
        [json!(300), json!(300), json!(0)],
        "started again, nothing is applied twice"
    );
}

#[test]
fn a_row_that_the_service_refuses_is_named_and_left_out_if_wished_and_a_rerun_repeats_nothing() {
    let pair = Pair::at_work();
    let rows = [
        "山田 一,ヤマダ ハジメ,1980-01-02,X1,5",
        "山田 二,ヤマダ ジ,1981-01-02,C00000001,5",
        "山田 三,ヤマダ サン,1982-01-02,X3,5",
    ];
    let refused = import(&pair, &rows, &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("line 3") && said.contains("CARD_IN_USE") && said.contains("--skip-bad"),
        "{said}"
    );

    let skipping = import(&pair, &rows, &["--skip-bad"]);
    let said = String::from_utf8_lossy(&skipping.stderr).into_owned();
    assert_eq!(summary(&skipping), [json!(2), json!(0), json!(1)], "{said}");
    assert!(said.contains("line 3") && said.contains("left out"), "{said}");

    assert_eq!(summary(&import(&pair, &rows, &["--skip-bad"])), [json!(2), json!(2), json!(1)]);
}

/// The same people in another file: nothing of it is an earlier run of this one.
#[test]
fn rows_that_another_file_brought_in_are_told_as_such_and_not_taken_for_an_earlier_run() {
    let pair = Pair::at_work();
    let rows = rows_of(256, None);
    // A command of its own, whole.
    let mut rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    assert_eq!(summary(&import(&pair, &rows, &[])), [json!(256), json!(0), json!(0)]);
    rows.push("山田 増,ヤマダ ゾウ,1980-01-02,Z1,5");

    assert_eq!(summary(&import(&pair, &rows, &["--check-only"])), [json!(0), json!(256), json!(0)]);
    let refused = import(&pair, &rows, &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("line 2: CARD_IN_USE") && said.contains("nothing was imported"), "{said}");
    assert_eq!(summary(&import(&pair, &rows, &["--skip-bad"])), [json!(1), json!(0), json!(256)]);
}
