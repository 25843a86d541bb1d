//! The two clocks. Decisions get their moment as an argument; only the shells read it here.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::model::{Moment, UnixMs};

/// The suspend-aware clock of this box.
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME exists since Linux 2.6.39");
    let ms = time.tv_sec() * 1_000 + time.tv_nsec() / 1_000_000;
    Moment(ms.unsigned_abs())
}

/// The wall clock, for people.
pub fn unix_now() -> UnixMs {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    UnixMs(i64::try_from(ms).unwrap_or(i64::MAX))
}
