//! How fast a lost peer is noticed.

use serde::{Deserialize, Serialize};

use super::limits;
use super::lines::{Refusal, refuse};

/// Milliseconds. The defaults were measured; change them together or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// Between two heartbeats on a path.
    pub heartbeat_ms: u64,
    /// How long an echoed heartbeat entitles to an address. Shorter than `silence_ms`.
    pub lease_ms: u64,
    /// Silence after which the peer counts as lost.
    pub silence_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        // 25 ms: ten chances within a lease. 350 ms: a pulled cable is survived well under a second. 250 ms: ends before the peer may ask.
        Self { heartbeat_ms: 25, lease_ms: 250, silence_ms: 350 }
    }
}

impl Timing {
    pub(super) fn validate(&self) -> Result<(), Refusal> {
        if self.heartbeat_ms == 0 || self.heartbeat_ms * 3 > self.lease_ms {
            return refuse("timing.heartbeat_ms", "must be above 0 and at most a third of lease_ms".into());
        }
        if self.lease_ms >= self.silence_ms {
            return refuse("timing.lease_ms", "must be shorter than silence_ms, or two servers could hold one address".into());
        }
        let least_ms = 3 * limits::STREAM_IDLE_MS;
        if !(least_ms..=limits::SILENCE_MS_MAX).contains(&self.silence_ms) {
            let most_ms = limits::SILENCE_MS_MAX;
            return refuse("timing.silence_ms", format!("must be {least_ms} (three frames of an idle stream) to {most_ms}"));
        }
        Ok(())
    }
}
