//! Wording profiles: what a site calls things on labels and buttons. Codes, schema and protocol keep the neutral words, and the
//! terminal texts of `texts` are the same in every profile.

use serde::Serialize;

/// A site's own words, for terminals and console to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Words {
    pub site: &'static str,
    pub unit: &'static str,
    pub stored_units: &'static str,
    pub deposit: &'static str,
    pub draw: &'static str,
    pub goods: &'static str,
    pub redeem: &'static str,
    pub zone: &'static str,
    pub station: &'static str,
    pub adjustment: &'static str,
    pub business_day: &'static str,
}

pub const GENERIC: Words = Words {
    site: "site",
    unit: "unit",
    stored_units: "stored units",
    deposit: "deposit",
    draw: "draw",
    goods: "goods",
    redeem: "redeem",
    zone: "zone",
    station: "station",
    adjustment: "adjustment",
    business_day: "business day",
};

pub const HALL_JA: Words = Words {
    site: "遊技場",
    unit: "玉・メダル",
    stored_units: "貯玉",
    deposit: "預入",
    draw: "再プレイ",
    goods: "景品",
    redeem: "景品交換",
    zone: "島",
    station: "台",
    adjustment: "特殊処理",
    business_day: "営業日",
};

/// The profile of that name, if there is one.
pub fn profile(name: &str) -> Option<&'static Words> {
    match name {
        "generic" => Some(&GENERIC),
        "hall-ja" => Some(&HALL_JA),
        _ => None,
    }
}
