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

/// Compares each actor's progress counter, look by look. The counter is odd while the actor works and changes with each
/// piece of work, so the actor itself needs no clock, and one that idles or is busy with ever new work never hangs.
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
        Self {
            seen: vec![Seen::default(); limits.len()],
            limits,
        }
    }

    /// How often to look: a quarter of the shortest limit, so that a hang is found at most half a limit late; not below 1 ms
    /// (what threads are woken by) nor above 1 s (what a person would wait).
    pub(crate) fn period(&self) -> Duration {
        let shortest = self.limits.iter().min().copied().unwrap_or(Duration::MAX);
        (shortest / 4).clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    /// Look at all counters, `passed` after the last look. A look that comes late counts as two periods at most: the whole
    /// process was stopped then, the actors with it, and that is no hang.
    pub(crate) fn look(
        &mut self,
        passed: Duration,
        counters: impl Iterator<Item = u64>,
    ) -> Vec<Finding> {
        let passed = passed.min(self.period() * 2);
        let mut findings = Vec::new();
        for (actor, counter) in counters.enumerate() {
            let (seen, limit) = (&mut self.seen[actor], self.limits[actor]);
            let at_work = counter % 2 == 1;
            if at_work && counter == seen.counter {
                seen.lasted += passed;
                if seen.lasted > limit && !seen.told {
                    seen.told = true;
                    findings.push(Finding::Hung {
                        actor,
                        lasted: seen.lasted,
                    });
                }
                continue;
            }
            if seen.told {
                findings.push(Finding::Moves { actor });
            }
            *seen = Seen {
                counter,
                ..Seen::default()
            };
        }
        findings
    }
}
