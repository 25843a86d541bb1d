//! What is told of those who knock and are not let in: the first of each reason, then one line a minute. A stranger may knock a thousand
//! times a second, and the log is for the person on call.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::config::limits;

/// By reason: words of ours, so that there are few. What was left out is told with the next line of its reason.
#[derive(Debug, Default)]
pub struct Knocks(BTreeMap<&'static str, Told>);

#[derive(Debug)]
struct Told {
    at: Instant,
    left_out: u64,
}

impl Knocks {
    /// How many were left out since the last line of this reason, if there is to be a line now.
    pub fn tell(&mut self, reason: &'static str, now: Instant) -> Option<u64> {
        let Some(told) = self.0.get_mut(reason) else {
            self.0.insert(reason, Told { at: now, left_out: 0 });
            return Some(0);
        };
        if now.duration_since(told.at) < limits::KNOCK_TOLD_EVERY {
            told.left_out += 1;
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_reason_is_told_at_once_and_then_once_a_minute_with_the_number_left_out() {
        let (mut knocks, start) = (Knocks::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(knocks.tell("crowded", at(0)), Some(0));
        assert!((1..=683).all(|ms| knocks.tell("crowded", at(ms)).is_none()));
        assert_eq!(knocks.tell("stranger", at(700)), Some(0), "another reason");
        assert_eq!(knocks.tell("crowded", at(60_000)), Some(683));
        assert_eq!(knocks.tell("crowded", at(60_001)), None);
        assert_eq!(knocks.tell("crowded", at(500_000)), Some(1));
    }
}
