//! The two clocks. Decisions get their moment as an argument; only the shells read it here.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::{Moment, UnixMs};

/// The suspend-aware clock of this box.
#[cfg(not(test))]
pub fn now() -> Moment {
    use nix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME exists since Linux 2.6.39");
    let ms = time.tv_sec() * 1_000 + time.tv_nsec() / 1_000_000;
    Moment(ms.unsigned_abs())
}

/// In this crate's own tests: the runtime's clock, so that a paused one passes for an actor as it does for its timers.
#[cfg(test)]
pub fn now() -> Moment {
    use std::sync::OnceLock;
    use tokio::time::Instant;

    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let start = *START.get_or_init(std::time::Instant::now);
    // Begins at a minute, so that "a while ago" is not before the beginning.
    Moment(60_000 + Instant::now().into_std().saturating_duration_since(start).as_millis() as u64)
}

/// The wall clock, for people.
pub fn unix_now() -> UnixMs {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    UnixMs(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// To the minute, in this box's time zone, as people say it.
pub fn date(at: UnixMs) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}
