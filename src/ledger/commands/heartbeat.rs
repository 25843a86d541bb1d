//! `heartbeat`: a terminal is still there. It writes nothing, unless it tells of new faults: those become audit events, so such a
//! heartbeat is a change like any other, recorded, and repeated until answered.

use serde::{Deserialize, Serialize};

use super::Operation;
use super::hello::{RateTable, Today, rate_table, today};
use super::software::{self, Software};
use crate::ledger::call::{About, Call, Outcome, Stop};
use crate::ledger::fields::Id;

/// One each 30 s: a site of 3,000 terminals then sends 100 a second, which are answered from memory.
pub(super) const NEXT_HEARTBEAT_MS: i64 = 30_000;

/// Faults that the terminal has not told before, at most [`FaultCodes::MAX`].
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Vec<Id<32>>")]
pub(super) struct FaultCodes(pub(super) Vec<Id<32>>);

impl FaultCodes {
    /// One event each: more at once is a broken terminal, not more news.
    const MAX: usize = 16;
}

impl TryFrom<Vec<Id<32>>> for FaultCodes {
    type Error = String;

    fn try_from(codes: Vec<Id<32>>) -> Result<Self, String> {
        if codes.len() > Self::MAX {
            return Err(format!("{} fault codes, expected at most {}", codes.len(), Self::MAX));
        }
        Ok(Self(codes))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    software: Option<Software>,
    /// The table that the terminal holds: it is given the present one if they differ.
    rate_table_ver: Option<i64>,
    #[serde(default)]
    fault_codes: FaultCodes,
}

#[derive(Serialize)]
struct Answer {
    day: Option<Today>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_table: Option<RateTable>,
    next_heartbeat_ms: i64,
}

impl Operation for Heartbeat {
    fn idle(&self) -> bool {
        self.fault_codes.0.is_empty()
    }

    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        software::refuse_old(self.software.as_ref())?;
        let old = self.rate_table_ver.is_some_and(|version| version != call.site().rate_table_version);
        let rate_table = if old { Some(rate_table(call)?) } else { None };
        let day = today(call)?;
        let software = self.software.as_ref().map_or("", Software::as_str);
        report_faults(call, &self.fault_codes, software);
        Outcome::done(&Answer { day, rate_table, next_heartbeat_ms: NEXT_HEARTBEAT_MS })
    }
}

pub(super) fn report_faults(call: &mut Call<'_, '_>, faults: &FaultCodes, software: &str) {
    for code in &faults.0 {
        call.event("terminal_fault", About::default(), &format!("{} {software}", code.as_str()));
    }
}
