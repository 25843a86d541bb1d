//! When to announce an address again. Time is an argument, so a late or skipped wake-up never causes a burst.

use std::time::Duration;

use tokio::time::Instant;

/// A frozen old owner keeps answering until the kernel takes its alias away, 2.1 s after the last refresh as a rule. On an
/// idle machine that may last a second longer: the next phase begins after that one.
const DENSE: Phase = Phase { until: Duration::from_millis(2_200), every: Duration::from_millis(200) };
/// For switches that lost the first frames: a port that was just opened drops them for some seconds.
const QUICK: Phase = Phase { until: Duration::from_millis(12_200), every: Duration::from_secs(1) };
/// A switch port under spanning tree listens for 30 s, neighbour entries live for minutes: five minutes outlast both.
const STEADY: Phase = Phase { until: Duration::from_millis(312_200), every: Duration::from_secs(10) };
/// For as long as the address is held: heals whatever came later (a swapped switch), and costs two frames a minute.
const FOR_EVER: Duration = Duration::from_secs(60);

/// When one address is announced: when it is taken, then less and less often.
#[derive(Clone, Copy, Debug)]
pub struct Announcing {
    /// The moment that counts as the takeover's.
    since: Instant,
    last: Instant,
    next: Instant,
}

impl Announcing {
    /// It was taken, and announced for the first time.
    pub fn begun(now: Instant) -> Self {
        Self { since: now, last: now, next: now + next_announcement(Duration::ZERO) }
    }

    /// The next one.
    pub fn due(&self) -> Instant {
        self.next
    }

    /// It was announced.
    pub fn done(&mut self, now: Instant) {
        self.last = now;
        self.next = self.since + next_announcement(now - self.since);
    }

    /// Begins again as after a takeover: the neighbours were told otherwise, or could not be told. Never sooner than the densest of
    /// announcements follows the last one: two stations that defend one address must not drive each other on.
    pub fn anew(&mut self, now: Instant) {
        self.since = now.max(self.last + DENSE.every);
        self.next = self.since;
    }

    /// Goes on each second for ten seconds more: somebody else still answers for the address, though nobody was told otherwise.
    pub fn insist(&mut self, now: Instant) {
        if now - self.since >= DENSE.until {
            self.since = self.last - DENSE.until;
            self.next = self.last + QUICK.every;
        }
    }
}

/// Lasts `until` a moment since takeover, a whole number of `every` after the end of the phase before.
struct Phase {
    until: Duration,
    every: Duration,
}

/// The moment of the next announcement, both moments counted from the takeover (whose own moment is the first announcement).
///
/// The takeover counts anew when the address was contested or the carrier came back.
pub fn next_announcement(since_takeover: Duration) -> Duration {
    let mut begin = Duration::ZERO;
    for phase in [DENSE, QUICK, STEADY] {
        if since_takeover < phase.until {
            return next_multiple(begin, phase.every, since_takeover);
        }
        begin = phase.until;
    }
    next_multiple(begin, FOR_EVER, since_takeover)
}

/// The first `begin + n * every` after `now`.
fn next_multiple(begin: Duration, every: Duration, now: Duration) -> Duration {
    let past = (now - begin).as_nanos() % every.as_nanos();
    let rest = every.as_nanos() - past;
    now + Duration::from_nanos(u64::try_from(rest).expect("no more than the longest pause, a minute"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All moments of announcements up to `until`, in milliseconds.
    fn moments_ms(until: Duration) -> Vec<u128> {
        let following = |last: &Duration| Some(next_announcement(*last));
        let moments = std::iter::successors(Some(Duration::ZERO), following);
        moments.take_while(|moment| *moment <= until).map(|moment| moment.as_millis()).collect()
    }

    #[test]
    fn announcements_are_dense_then_each_second_then_each_ten_then_each_minute() {
        let dense = (0..=2_200).step_by(200);
        let quick = (3_200..=12_200).step_by(1_000);
        let steady = (22_200..=312_200).step_by(10_000);
        let for_ever = (372_200..=612_200).step_by(60_000);
        let expected: Vec<u128> = dense.chain(quick).chain(steady).chain(for_ever).collect();
        assert_eq!(moments_ms(Duration::from_millis(612_200)), expected);
    }

    #[test]
    fn the_next_announcement_does_not_depend_on_when_one_asks() {
        let table_ms = [
            (0, 200),
            (1, 200),
            (199, 200),
            (200, 400),
            (2_199, 2_200),
            (2_200, 3_200),
            (3_199, 3_200),
            (12_199, 12_200),
            (12_200, 22_200),
            (312_199, 312_200),
            (312_200, 372_200),
            (372_199, 372_200),
        ];
        for (asked_ms, next_ms) in table_ms {
            let next = next_announcement(Duration::from_millis(asked_ms));
            assert_eq!(next, Duration::from_millis(next_ms), "asked at {asked_ms} ms");
        }
    }

    #[test]
    fn after_a_stall_one_announcement_is_due_and_not_all_that_were_missed() {
        let woken_late = Duration::from_millis(7_654);
        assert_eq!(next_announcement(woken_late), Duration::from_millis(8_200));
    }

    #[test]
    fn an_address_held_for_a_century_is_still_announced() {
        let century = Duration::from_secs(100 * 366 * 86_400);
        let pause = next_announcement(century) - century;
        assert!(pause > Duration::ZERO && pause <= FOR_EVER);
    }

    #[test]
    fn whoever_claims_the_address_without_a_pause_is_answered_no_more_than_five_times_a_second() {
        let start = Instant::now();
        let (mut announcing, mut announced) = (Announcing::begun(start), 0);
        for ms in 1..=1_000 {
            let now = start + Duration::from_millis(ms);
            if now >= announcing.due() {
                announcing.done(now);
                announced += 1;
            }
            announcing.anew(now);
        }
        assert_eq!(announced, 5);
    }

    #[test]
    fn while_somebody_else_answers_for_the_address_it_is_announced_each_second() {
        let start = Instant::now();
        let mut announcing = Announcing::begun(start);
        let announced: Vec<u64> = (1..=20_000)
            .filter(|ms| {
                let now = start + Duration::from_millis(*ms);
                let is_due = now >= announcing.due();
                if is_due {
                    announcing.done(now);
                    announcing.insist(now + Duration::from_millis(1));
                }
                is_due
            })
            .collect();
        let dense = (200..=2_200).step_by(200);
        assert_eq!(announced, dense.chain((3_200..=19_200).step_by(1_000)).collect::<Vec<_>>());
    }
}
