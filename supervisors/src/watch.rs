//! Judging from outside whether actors hang. Pure: counters and time are passed in.

use std::time::Duration;

use crate::outline::ActorId;

/// What a look at the counters found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// One piece of work has lasted this long, which is over the limit. Said once for each.
    Hung { actor: ActorId, lasted: Duration },
    /// An actor that hung goes on.
    Moves { actor: ActorId },
}

/// Compares each actor's progress counter, look by look. The counter is odd while the actor works
/// and changes with each piece of work, so the actor itself needs no clock, and one that idles or
/// is busy with ever new work never hangs.
#[derive(Debug)]
pub(crate) struct Watch {
    limits: Vec<Duration>,
    seen: Vec<Seen>,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    counter: u64,
    lasted: Duration,
    told: bool,
}

impl Watch {
    pub(crate) fn new(limits: Vec<Duration>) -> Self {
        Self { seen: vec![Seen::default(); limits.len()], limits }
    }

    /// How often to look: a quarter of the shortest limit, so that a hang is found at most half a
    /// limit late; not below 1 ms (what threads are woken by) nor above 1 s (what a person would
    /// wait).
    pub(crate) fn period(&self) -> Duration {
        let shortest = self.limits.iter().min().copied().unwrap_or(Duration::MAX);
        (shortest / 4).clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    /// Look at all counters, `passed` after the last look. A look that comes late counts as two
    /// periods at most: the whole process was stopped then, the actors with it, and that is no
    /// hang.
    pub(crate) fn look(&mut self, passed: Duration, counters: impl Iterator<Item = u64>) -> Vec<Finding> {
        let passed = passed.min(self.period() * 2);
        let mut findings = Vec::new();
        for (actor, counter) in counters.enumerate() {
            let (seen, limit) = (&mut self.seen[actor], self.limits[actor]);
            let at_work = counter % 2 == 1;
            if at_work && counter == seen.counter {
                seen.lasted += passed;
                if seen.lasted > limit && !seen.told {
                    seen.told = true;
                    findings.push(Finding::Hung { actor, lasted: seen.lasted });
                }
                continue;
            }
            if seen.told {
                findings.push(Finding::Moves { actor });
            }
            *seen = Seen { counter, ..Seen::default() };
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Limits of 100 ms and 1 s: a look each 25 ms.
    fn watch() -> Watch {
        Watch::new(vec![ms(100), ms(1000)])
    }

    fn looks(watch: &mut Watch, times: u32, passed: Duration, counters: [u64; 2]) -> Vec<Finding> {
        (0..times).flat_map(|_| watch.look(passed, counters.into_iter())).collect()
    }

    #[test]
    fn work_that_lasts_longer_than_its_limit_is_told_once() {
        let mut watch = watch();
        assert_eq!(looks(&mut watch, 5, ms(25), [1, 1]), []);
        let hung = Finding::Hung { actor: 0, lasted: ms(125) };
        assert_eq!(looks(&mut watch, 20, ms(25), [1, 1]), [hung]);
    }

    #[test]
    fn each_child_has_its_own_limit() {
        let mut watch = watch();
        let found = looks(&mut watch, 50, ms(25), [0, 1]);
        assert_eq!(found, [Finding::Hung { actor: 1, lasted: ms(1025) }]);
    }

    #[test]
    fn idle_is_no_hang() {
        assert_eq!(looks(&mut watch(), 1000, ms(25), [2, 4]), []);
    }

    #[test]
    fn ever_new_work_is_no_hang() {
        let mut watch = watch();
        for message in 0..1000 {
            assert_eq!(looks(&mut watch, 1, ms(25), [2 * message + 1, 0]), []);
        }
    }

    #[test]
    fn a_hanging_child_that_goes_on_is_told() {
        let mut watch = watch();
        looks(&mut watch, 6, ms(25), [1, 0]);
        assert_eq!(looks(&mut watch, 3, ms(25), [2, 0]), [Finding::Moves { actor: 0 }]);
    }

    #[test]
    fn a_process_that_was_stopped_as_a_whole_does_not_hang() {
        let mut watch = watch();
        looks(&mut watch, 1, ms(25), [1, 0]);
        assert_eq!(looks(&mut watch, 1, Duration::from_secs(3600), [1, 0]), []);
    }

    #[test]
    fn it_looks_four_times_in_the_shortest_limit_within_reason() {
        for (limit, period) in [(ms(100), ms(25)), (ms(1), ms(1)), (Duration::from_secs(60), ms(1000))] {
            assert_eq!(Watch::new(vec![limit]).period(), period);
        }
        assert_eq!(Watch::new(vec![]).period(), ms(1000));
    }
}
