//! What `duplex init` writes.

use duplex::ledger::rows::{Key, StaffRole, TerminalKind};
use duplex::ledger::{SiteDefinition, genesis};
use duplex::model::Image;

use crate::world::{World, secrets};

const SITE: &str = r#"
name = "ゲームセンター"
profile = "hall-ja"
[[rates]]
rate_id = 1
medium = "ball"
name = "4円"
lend_units = 125
lend_yen = 500
payout_step = 125
max_units = 250000
[[staff]]
staff_id = "s1"
name = "山田"
role = "supervisor"
password_hash = "0101010101010101010101010101010101010101010101010101010101010101"
[[terminals]]
terminal_id = "office"
kind = "analysis"
zone = "office"
key_hash = "0202020202020202020202020202020202020202020202020202020202020202"
[[terminals]]
terminal_id = "seat-1"
kind = "seat"
zone = "A"
machine_no = "101"
rate_id = 1
key_hash = "0303030303030303030303030303030303030303030303030303030303030303"
"#;

#[test]
fn a_site_is_written_as_a_page_of_toml() {
    let site = SiteDefinition::from_toml(SITE).unwrap();
    assert_eq!((site.daily_limit_yen, site.min_age_years, site.staff[0].role), (10_000, 18, StaffRole::Supervisor));
    let keys: Vec<_> = genesis(&site).unwrap().iter().map(Image::key).collect();
    let terminal = |name: &str| Key::Terminal(name.into());
    assert_eq!(keys, [Key::Site(1), Key::Rate(1), Key::Staff("s1".into()), terminal("office"), terminal("seat-1")]);
}

#[test]
fn what_is_wrong_with_a_site_is_named() {
    let cases = [
        ("rate_id = 1\nmedium", "rate_id = 2\nmedium", "rates[0].rate_id"),
        ("rate_id = 1\nkey_hash", "rate_id = 7\nkey_hash", "terminals[1].rate_id"),
        ("\"seat-1\"", "\"office\"", "terminals[1].terminal_id"),
        ("\"supervisor\"", "\"clerk\"", "staff"),
        ("\"analysis\"", "\"pos\"", "terminals"),
        ("\"hall-ja\"", "\"casino\"", "profile"),
        ("lend_units = 125", "lend_units = 0", "rates[0].lend_units"),
        ("max_units = 250000", "max_units = 0", "rates[0].max_units"),
        ("zone = \"A\"", "zone = \"\"", "site definition"),
        ("zone = \"A\"", "zone = \"A\"\nseat = 1", "site definition"),
    ];
    for (from, to, field) in cases {
        let bad = SiteDefinition::from_toml(&SITE.replacen(from, to, 1)).unwrap_err();
        assert_eq!(bad.field, field, "{to}: {}", bad.reason);
    }
}

#[test]
fn a_site_without_rates_is_refused() {
    let mut site = SiteDefinition::from_toml(SITE).unwrap();
    site.rates.clear();
    assert_eq!(genesis(&site).unwrap_err().field, "rates");
}

#[test]
fn the_sample_has_the_seats_asked_for() {
    let site = SiteDefinition::sample(3_030, &secrets()).unwrap();
    assert_eq!(site.terminals.iter().filter(|t| t.kind == TerminalKind::Seat).count(), 3_030);
    assert_eq!(genesis(&site).unwrap().len(), 1 + 3 + 2 + 6 + 3_030);
    assert!(SiteDefinition::sample(10_000, &secrets()).is_err());
}

#[test]
fn a_halls_own_words_are_told_to_its_terminals() {
    let mut world = World::of(&SiteDefinition::from_toml(SITE).unwrap());
    world.change(&Key::Terminal("seat-1".into()), |row| {
        if let duplex::ledger::rows::Row::Terminal(terminal) = row {
            terminal.key_hash = *blake3::hash(duplex::ledger::sample::key("seat-1").as_bytes()).as_bytes();
        }
    });
    let answer = world.ok("seat-1", "hello", &serde_json::json!({}));
    assert_eq!(answer.body()["settings"]["words"]["draw"], "再プレイ");
}
