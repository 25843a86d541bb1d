//! The invariants' checks find what somebody changed behind the ledger's back.

use duplex::ledger::rows::{Key, PayoutState, Row};
use serde_json::json;

use crate::world::{TODAY, World};

/// A day with deposits, a short payout and an open one.
fn busy() -> World {
    let mut world = World::with_member(1_000);
    let session = world.session("seat-1", "card-1");
    let draw = json!({"session": session, "rate_id": 1, "units": 125});
    world.ok("seat-1", "authorise_payout", &draw);
    world.ok("seat-1", "complete_payout", &json!({"payout_id": 1, "delivered": 100}));
    world.ok("seat-1", "authorise_payout", &draw);
    world
}

type Tampering = (&'static str, Key, fn(&mut Row));

#[test]
fn each_tampering_is_found_and_named() {
    let cases: [Tampering; 10] = [
        ("I1", Key::Account(1_001), |row| {
            if let Row::Account(row) = row {
                row.balance += 1
            }
        }),
        ("I1", Key::Ledger(2), |row| {
            if let Row::Ledger(row) = row {
                row.balance_after += 1
            }
        }),
        ("I2", Key::Account(1_001), |row| {
            if let Row::Account(row) = row {
                row.balance += 1
            }
        }),
        ("I2", Key::Ledger(1), |row| {
            if let Row::Ledger(row) = row {
                row.delta = -row.delta
            }
        }),
        ("I3", Key::DailyDraw(1, crate::world::DAY), |row| {
            if let Row::DailyDraw(row) = row {
                row.limit_yen -= 1
            }
        }),
        ("I3", Key::Payout(1), |row| {
            if let Row::Payout(row) = row {
                row.delivered = Some(125)
            }
        }),
        ("I4", Key::Ledger(1), |row| {
            if let Row::Ledger(row) = row {
                row.command_id = [0; 16]
            }
        }),
        ("I5", Key::Ledger(1), |row| {
            if let Row::Ledger(row) = row {
                row.at.0 += 1
            }
        }),
        ("I5", Key::AuditEvent(2), |row| {
            if let Row::AuditEvent(row) = row {
                row.kind = "nothing".into()
            }
        }),
        ("I9", Key::Payout(2), |row| {
            if let Row::Payout(row) = row {
                row.day -= 1
            }
        }),
    ];
    assert_eq!(busy().findings(), []);
    for (invariant, key, tamper) in cases {
        let mut world = busy();
        world.change(&key, tamper);
        assert!(world.findings().iter().any(|finding| finding.invariant == invariant), "{invariant} {key:?}");
    }
}

#[test]
fn a_row_cut_out_of_ledger_or_audit_leaves_a_gap() {
    for key in [Key::Ledger(2), Key::AuditEvent(1)] {
        let mut world = busy();
        world.rows.0.remove(&key);
        let finding = world.findings().into_iter().find(|finding| finding.invariant == "I5").unwrap();
        assert!(finding.key.ends_with("number"), "{finding}");
    }
}

#[test]
fn rows_cut_off_the_end_are_missed_by_the_sites_row() {
    let mut world = busy();
    let last = world.site().last_ledger_no;
    world.rows.0.remove(&Key::Ledger(last));
    let text = world.findings().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(text.contains("I5: site last number of ledger: expected 3, found 4"), "{text}");
}

#[test]
fn a_lost_record_and_a_lost_effect_are_both_found() {
    let mut world = busy();
    let record = world.records.iter().position(|(_, _, response)| response.body.contains("ledger_no")).unwrap();
    let lost = world.records.remove(record);
    assert!(world.findings().iter().any(|f| f.invariant == "I4" && f.expected == "a record"));
    world.records.push((lost.0, duplex::model::CommandId([255; 16]), lost.2));
    assert!(world.findings().iter().any(|f| f.invariant == "I4" && f.expected == "ledger row 1"));
}

#[test]
fn an_account_that_is_gone_is_missed() {
    let mut world = busy();
    world.rows.0.remove(&Key::Account(1_001));
    assert!(world.findings().iter().any(|f| f.to_string() == "I1: account 1001: expected a row, found none"));
}

#[test]
fn a_payout_left_open_by_a_closed_day_is_found() {
    let mut world = busy();
    world.ok("seat-1", "complete_payout", &json!({"payout_id": 2, "delivered": 125}));
    world.ok("office", "close_day", &json!({"date": TODAY}));
    world.change(&Key::Payout(2), |row| {
        if let Row::Payout(payout) = row {
            (payout.state, payout.delivered) = (PayoutState::Authorised, None);
        }
    });
    let findings = world.findings();
    assert_eq!(findings.iter().map(|f| f.invariant).collect::<Vec<_>>(), ["I9"], "{findings:?}");
}
