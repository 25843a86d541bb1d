//! The gate: every answer that derives from data leaves only when what it rests on may be acknowledged in the present mode.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::{Board, locked};
use crate::machines::failover::Rule;
use crate::model::{Epoch, Moment, Sequence};

/// An answer that waits.
#[derive(Debug)]
pub struct Waiting<T> {
    /// Everything that the answer rests on.
    pub rests_on: Sequence,
    /// For answers that no new entry proves (reads, repeated answers, refusals that are not stored): the first frame of the stream
    /// built after the question came. Its arrival at the peer proves that this server was Main then.
    pub frame: Option<u64>,
    pub since: Moment,
    pub answer: T,
}

/// An answer that may leave now.
#[derive(Debug)]
pub struct Leaving<T> {
    pub answer: T,
    /// `Some(true)`: stored on both. `None`: it may not be given; tell the terminal to try again.
    pub stored_on_both: Option<bool>,
    pub epoch: Epoch,
}

/// Where answers go when the gate lets them.
pub type Exit<T> = Box<dyn Fn(Vec<Leaving<T>>) + Send + Sync>;

/// Told when more is confirmed than before, by whoever notices it first: a wake-up left to the caller would be lost between two.
pub type Rose = Box<dyn Fn() + Send + Sync>;

pub struct Gate<T> {
    board: Arc<Board>,
    inner: Mutex<Inner<T>>,
    exit: Exit<T>,
    rose: Rose,
}

struct Inner<T> {
    rule: Rule,
    since: Moment,
    waiting: VecDeque<Waiting<T>>,
}

impl<T> Gate<T> {
    pub fn new(board: Arc<Board>, exit: Exit<T>, rose: Rose) -> Self {
        let inner = Mutex::new(Inner { rule: Rule::Closed, since: Moment(0), waiting: VecDeque::new() });
        Self { board, inner, exit, rose }
    }

    /// What holds from now on. Answers that waited under the rule before go on waiting: `retry` would be a lie while nobody knows.
    pub fn set(&self, rule: Rule, now: Moment) {
        let mut inner = locked(&self.inner);
        if inner.rule != rule {
            inner.rule = rule;
            inner.since = now;
        }
        drop(inner);
        self.pass(now);
    }

    /// Milliseconds since the gate was closed; 0 if it is open.
    pub fn closed_for(&self, now: Moment) -> u64 {
        let inner = locked(&self.inner);
        if inner.rule == Rule::Closed { now.since(inner.since) } else { 0 }
    }

    /// Answers that rest on nothing: `retry`. They leave at once.
    pub fn turn_away(&self, answers: Vec<Waiting<T>>) {
        if !answers.is_empty() {
            (self.exit)(answers.into_iter().map(not_given).collect());
        }
    }

    pub fn rule(&self) -> Rule {
        locked(&self.inner).rule
    }

    /// Queues answers in the order of execution, then lets pass what may.
    pub fn wait(&self, answers: impl IntoIterator<Item = Waiting<T>>, now: Moment) {
        locked(&self.inner).waiting.extend(answers);
        self.pass(now);
    }

    /// Recomputes what is confirmed and lets answers pass; true if confirmed rose. Called whenever a position moved, and by a timer.
    pub fn pass(&self, now: Moment) -> bool {
        let mut inner = locked(&self.inner);
        let confirmable = inner.confirmable(&self.board, now);
        let rose = confirmable.is_some_and(|sequence| self.board.raise_confirmed(sequence));
        let leaving = inner.leaving(&self.board, now);
        // Still under the lock, so that two threads do not swap two answers of one session.
        if !leaving.is_empty() {
            (self.exit)(leaving);
        }
        if rose {
            (self.rose)();
        }
        rose
    }

    /// `retry` for whatever has waited too long. The outcome is unknown, and the terminal repeats the same id.
    pub fn expire(&self, waited_since: Moment) {
        let mut inner = locked(&self.inner);
        let old = inner.waiting.iter().take_while(|waiting| waiting.since < waited_since).count();
        let expired = inner.waiting.drain(..old).map(not_given).collect::<Vec<_>>();
        if !expired.is_empty() {
            (self.exit)(expired);
        }
    }

    /// `retry` for everything: this server's run as holder has ended.
    pub fn flush(&self) {
        let mut inner = locked(&self.inner);
        let all = inner.waiting.drain(..).map(not_given).collect::<Vec<_>>();
        if !all.is_empty() {
            (self.exit)(all);
        }
    }

    /// Whether an answer must wait for the peer's word.
    pub fn needs_the_peer(&self) -> bool {
        matches!(self.rule(), Rule::Both(_))
    }
}

fn not_given<T>(waiting: Waiting<T>) -> Leaving<T> {
    Leaving { answer: waiting.answer, stored_on_both: None, epoch: Epoch(0) }
}

impl<T> Inner<T> {
    fn confirmable(&self, board: &Board, now: Moment) -> Option<Sequence> {
        match self.rule {
            // Not the holder: what the holder has told, as far as it is stored here.
            Rule::Closed => Some(board.told().min(board.stored())),
            Rule::Both(_) => Some(board.stored().min(board.peer_stored())),
            Rule::Own(_) => Some(board.stored()),
            Rule::Leased(_) => (now < board.lease_until()).then(|| board.stored()),
        }
    }

    fn leaving(&mut self, board: &Board, now: Moment) -> Vec<Leaving<T>> {
        let (epoch, both) = match self.rule {
            Rule::Closed => return Vec::new(),
            Rule::Leased(_) if now >= board.lease_until() => return Vec::new(),
            Rule::Both(epoch) => (epoch, true),
            Rule::Own(epoch) | Rule::Leased(epoch) => (epoch, false),
        };
        // What was confirmed by one server alone is not yet stored on both, though it stays confirmed.
        let confirmed = if both { board.confirmed().min(board.stored()).min(board.peer_stored()) } else { board.confirmed() };
        let arrived = board.frames_arrived();
        let may_leave =
            |waiting: &Waiting<T>| waiting.rests_on <= confirmed && (!both || waiting.frame.is_none_or(|frame| frame <= arrived));
        let count = self.waiting.iter().take_while(|waiting| may_leave(waiting)).count();
        self.waiting.drain(..count).map(|w| Leaving { answer: w.answer, stored_on_both: Some(both), epoch }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Arc<Mutex<Vec<(u32, Option<bool>)>>>;

    fn gate() -> (Gate<u32>, Arc<Board>, Seen) {
        let board = Arc::new(Board::default());
        let seen: Seen = Arc::default();
        let sink = Arc::clone(&seen);
        let exit = Box::new(move |leaving: Vec<Leaving<u32>>| {
            locked(&sink).extend(leaving.into_iter().map(|l| (l.answer, l.stored_on_both)));
        });
        (Gate::new(Arc::clone(&board), exit, Box::new(|| {})), board, seen)
    }

    fn waiting(answer: u32, rests_on: u64, frame: Option<u64>) -> Waiting<u32> {
        Waiting { rests_on: Sequence(rests_on), frame, since: Moment(0), answer }
    }

    fn stored(board: &Board, own: u64, peers: u64) {
        board.set_stored(crate::model::Position { sequence: Sequence(own), ..Default::default() });
        board.set_peer_stored(Sequence(peers));
    }

    #[test]
    fn in_a_pair_an_answer_leaves_when_both_have_stored_what_it_rests_on() {
        let (gate, board, seen) = gate();
        gate.set(Rule::Both(Epoch(1)), Moment(0));
        gate.wait([waiting(1, 1, None)], Moment(0));
        stored(&board, 1, 0);
        gate.pass(Moment(0));
        assert!(locked(&seen).is_empty());
        stored(&board, 1, 1);
        gate.pass(Moment(0));
        assert_eq!(*locked(&seen), [(1, Some(true))]);
    }

    #[test]
    fn what_one_server_stored_is_never_enough_in_a_pair() {
        let (gate, board, seen) = gate();
        gate.set(Rule::Both(Epoch(1)), Moment(0));
        gate.wait([waiting(1, 1, None)], Moment(0));
        stored(&board, 0, 9);
        gate.pass(Moment(0));
        assert!(locked(&seen).is_empty());
    }

    #[test]
    fn a_read_in_a_pair_waits_for_a_frame_built_after_it_came() {
        let (gate, board, seen) = gate();
        gate.set(Rule::Both(Epoch(1)), Moment(0));
        gate.wait([waiting(1, 0, Some(board.want_frame()))], Moment(0));
        assert!(locked(&seen).is_empty());
        assert!(board.frame_is_wanted());
        board.set_frames_arrived(board.begin_frame());
        gate.pass(Moment(0));
        assert_eq!(*locked(&seen), [(1, Some(true))]);
    }

    #[test]
    fn a_closed_gate_keeps_answers_and_a_solo_grant_lets_them_go_as_stored_on_one() {
        let (gate, board, seen) = gate();
        gate.set(Rule::Closed, Moment(0));
        stored(&board, 1, 1);
        gate.wait([waiting(1, 1, None), waiting(2, 1, Some(7))], Moment(0));
        assert!(locked(&seen).is_empty());
        gate.set(Rule::Own(Epoch(2)), Moment(0));
        assert_eq!(*locked(&seen), [(1, Some(false)), (2, Some(false))]);
    }

    /// On the way from Solo back to a Pair the peer lacks some of what was acknowledged.
    #[test]
    fn an_answer_that_rests_on_what_one_server_confirmed_alone_waits_for_the_other() {
        let (gate, board, seen) = gate();
        gate.set(Rule::Own(Epoch(2)), Moment(0));
        stored(&board, 9, 4);
        gate.set(Rule::Both(Epoch(2)), Moment(0));
        gate.wait([waiting(1, 9, None)], Moment(0));
        assert!(locked(&seen).is_empty());
        stored(&board, 9, 9);
        gate.pass(Moment(0));
        assert_eq!(*locked(&seen), [(1, Some(true))]);
    }

    #[test]
    fn whoever_lets_the_confirmed_position_rise_the_applier_is_told() {
        let (board, told) = (Arc::new(Board::default()), Arc::new(Mutex::new(0)));
        let counted = Arc::clone(&told);
        let gate: Gate<u32> = Gate::new(Arc::clone(&board), Box::new(|_| {}), Box::new(move || *locked(&counted) += 1));
        gate.set(Rule::Own(Epoch(1)), Moment(0));
        stored(&board, 3, 0);
        gate.wait([waiting(1, 3, None)], Moment(0));
        gate.pass(Moment(0));
        assert_eq!(*locked(&told), 1);
    }

    #[test]
    fn a_lease_that_has_ended_lets_nothing_pass() {
        let (gate, board, seen) = gate();
        board.set_lease_until(Moment(100));
        gate.set(Rule::Leased(Epoch(1)), Moment(0));
        stored(&board, 1, 0);
        gate.wait([waiting(1, 1, None)], Moment(100));
        assert!(locked(&seen).is_empty());
        gate.pass(Moment(99));
        assert_eq!(*locked(&seen), [(1, Some(false))]);
    }

    #[test]
    fn what_waited_too_long_is_told_to_try_again() {
        let (gate, _, seen) = gate();
        gate.wait(
            [Waiting { since: Moment(5), ..waiting(1, 1, None) }, Waiting { since: Moment(9), ..waiting(2, 1, None) }],
            Moment(9),
        );
        gate.expire(Moment(6));
        assert_eq!(*locked(&seen), [(1, None)]);
    }
}
