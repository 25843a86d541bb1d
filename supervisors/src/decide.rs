//! Which actors start, are held, restart and when, and when the tree gives up. Pure: no actix, no
//! clock; time is passed in.
//!
//! A (re)start in order is a *line*: a range of actors that were taken down together. An actor of a
//! line starts once the backoff is over, all before it in the line are up, and nobody in the line
//! is still coming to rest. An actor that failed alone (one_for_one) is a line of its own.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;
use std::time::Duration;

use crate::outline::{ActorId, Outline};
use crate::report::{Ended, Exit, Failure, Stopped};
use crate::spec::Restart;

mod fall;
mod picture;
#[cfg(test)]
mod tests;
mod vocabulary;

pub(crate) use vocabulary::{Effect, End, Event, Moment, Order};

/// The state of all supervision of one tree.
#[derive(Debug)]
pub(crate) struct Machine {
    outline: Outline,
    groups: Vec<Group>,
    actors: Vec<Actor>,
    mode: Mode,
    /// The newest failures, for an escalation.
    failures: VecDeque<Failure>,
    /// The moment of the last step.
    now: Duration,
    effects: Vec<Effect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Serving,
    /// Given up; all are held until a stop.
    Escalated,
    Stopping {
        deadline: Duration,
    },
    Stopped,
}

#[derive(Debug)]
struct Group {
    /// When the restarts inside the window were decided.
    recent: VecDeque<Duration>,
    /// Times that it was restarted as a whole.
    restarts: u64,
    last_exit: Option<Exit>,
    since: u64,
}

#[derive(Debug)]
struct Actor {
    phase: Phase,
    life: u64,
    line: Range<ActorId>,
    not_before: Duration,
    /// How this life went down by itself.
    down: Option<End>,
    hung: bool,
    last_exit: Option<Exit>,
    since: u64,
}

/// ```text
/// Waiting ─→ Starting ─→ Running ─→ Holding ─→ Held ─→ Starting …     any ─→ Leaving ─→ Gone
///                └─── went down by itself ──────↑
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Never started yet.
    Waiting,
    Starting,
    Running,
    /// Told to rest; perhaps still working.
    Holding,
    Held,
    /// Told to stop or leave.
    Leaving,
    Gone,
}

impl Machine {
    pub(crate) fn new(outline: Outline, now: Moment) -> Self {
        let all = 0..outline.actors.len();
        Self {
            groups: outline.groups.iter().map(|_| Group::new(now)).collect(),
            actors: outline.actors.iter().map(|_| Actor::new(now, all.clone())).collect(),
            mode: Mode::Serving,
            failures: VecDeque::new(),
            now: now.elapsed,
            effects: Vec::new(),
            outline,
        }
    }

    /// Take in what happened, and say what is to be done.
    pub(crate) fn step(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        self.now = now.elapsed;
        match event {
            Event::Tick => {}
            Event::Started { actor, life } => self.started(now, actor, life),
            Event::Held { actor, life } => self.held(now, actor, life),
            Event::Exited { actor, life, end } => self.exited(now, actor, life, &end),
            Event::Left { actor, last_words } => self.left(now, actor, last_words),
            Event::Hung { actor } => self.actors[actor].mark_hung(now, true),
            Event::Moves { actor } => self.actors[actor].mark_hung(now, false),
            Event::Stop { within } => self.stop(now.elapsed.saturating_add(within)),
        }
        self.advance(now);
        mem::take(&mut self.effects)
    }

    /// When the next decision falls due without an event.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self.mode {
            Mode::Serving => {
                let resting = self.actors.iter().filter(|actor| actor.is_resting());
                // Those whose moment has passed wait for others, that is for an event.
                resting.map(|actor| actor.not_before).filter(|&moment| moment > self.now).min()
            }
            Mode::Stopping { deadline } => Some(deadline),
            Mode::Escalated | Mode::Stopped => None,
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.mode == Mode::Stopped
    }

    fn started(&mut self, now: Moment, id: ActorId, life: u64) {
        let actor = &mut self.actors[id];
        if actor.phase == Phase::Starting && actor.life == life {
            actor.enter(now, Phase::Running);
        }
    }

    fn held(&mut self, now: Moment, id: ActorId, life: u64) {
        let actor = &mut self.actors[id];
        if actor.phase == Phase::Holding && actor.life == life {
            actor.enter(now, Phase::Held);
        }
    }

    fn exited(&mut self, now: Moment, id: ActorId, life: u64, end: &End) {
        let returns = match self.outline.actors[id].restart {
            Restart::Permanent => true,
            Restart::Transient => matches!(end, End::Panicked(_)),
            Restart::Temporary => false,
        };
        let actor = &mut self.actors[id];
        let phase = actor.phase;
        if actor.life != life || matches!(phase, Phase::Waiting | Phase::Held | Phase::Gone) {
            return;
        }
        actor.went_down(now, end);
        match phase {
            Phase::Leaving => {}
            _ if !returns => self.dismiss(now, id),
            // Down on the way to where a sibling's failure takes it anyway: not counted again.
            Phase::Holding => actor.enter(now, Phase::Held),
            _ => {
                actor.enter(now, Phase::Held);
                if self.mode == Mode::Serving {
                    self.fail(now, id);
                }
            }
        }
    }

    fn left(&mut self, now: Moment, id: ActorId, last_words: Option<String>) {
        let actor = &mut self.actors[id];
        let expected = matches!(actor.phase, Phase::Leaving | Phase::Gone);
        let lost = (!expected).then(|| "its arbiter has stopped".to_owned());
        if let Some(text) = last_words.or(lost) {
            actor.went_down(now, &End::Panicked(text));
        }
        actor.enter(now, Phase::Gone);
        if !expected && self.mode == Mode::Serving {
            self.lose(now, id);
        }
    }

    /// A second stop can only bring the deadline nearer.
    fn stop(&mut self, deadline: Duration) {
        self.mode = match self.mode {
            Mode::Serving | Mode::Escalated => Mode::Stopping { deadline },
            Mode::Stopping { deadline: set } => Mode::Stopping { deadline: set.min(deadline) },
            Mode::Stopped => Mode::Stopped,
        };
    }

    /// Do what has become possible.
    fn advance(&mut self, now: Moment) {
        match self.mode {
            Mode::Serving => (0..self.actors.len()).for_each(|id| self.start_in_turn(now, id)),
            Mode::Stopping { deadline } => self.stop_in_turn(now, deadline),
            Mode::Escalated | Mode::Stopped => {}
        }
    }

    fn start_in_turn(&mut self, now: Moment, id: ActorId) {
        let actor = &self.actors[id];
        if !actor.is_resting() || now.elapsed < actor.not_before {
            return;
        }
        let line = actor.line.clone();
        let before_are_up = self.actors[line.start..id].iter().all(Actor::is_up);
        if !before_are_up || self.actors[line].iter().any(Actor::is_coming_to_rest) {
            return;
        }
        let actor = &mut self.actors[id];
        actor.life += 1;
        actor.down = None;
        actor.enter(now, Phase::Starting);
        self.effects.push(Effect::Order(id, Order::Run { life: actor.life }));
    }

    /// The last that started stops first; at the deadline the rest is left behind.
    fn stop_in_turn(&mut self, now: Moment, deadline: Duration) {
        let staying = |id: &ActorId| self.actors[*id].phase != Phase::Gone;
        let staying: Vec<ActorId> = (0..self.actors.len()).filter(staying).collect();
        let Some(&last) = staying.last() else {
            return self.end(Stopped::default());
        };
        if now.elapsed >= deadline {
            self.effects.extend(staying.iter().map(|&id| Effect::Order(id, Order::Leave)));
            let path = |&id: &ActorId| self.outline.actors[id].path.clone();
            let left_behind = staying.iter().map(path).collect();
            return self.end(Stopped { left_behind });
        }
        let actor = &mut self.actors[last];
        if actor.phase != Phase::Leaving {
            actor.enter(now, Phase::Leaving);
            self.effects.push(Effect::Order(last, Order::Stop));
        }
    }

    fn end(&mut self, stopped: Stopped) {
        self.mode = Mode::Stopped;
        self.effects.push(Effect::End(Ended::Stopped(stopped)));
    }
}

impl Group {
    fn new(now: Moment) -> Self {
        Self { recent: VecDeque::new(), restarts: 0, last_exit: None, since: now.unix_ms }
    }
}

impl Actor {
    fn new(now: Moment, line: Range<ActorId>) -> Self {
        Self {
            phase: Phase::Waiting,
            life: 0,
            line,
            not_before: now.elapsed,
            down: None,
            hung: false,
            last_exit: None,
            since: now.unix_ms,
        }
    }

    fn is_resting(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Held)
    }

    fn is_coming_to_rest(&self) -> bool {
        matches!(self.phase, Phase::Holding | Phase::Leaving)
    }

    fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Gone)
    }

    fn enter(&mut self, now: Moment, phase: Phase) {
        self.phase = phase;
        self.since = now.unix_ms;
    }

    fn mark_hung(&mut self, now: Moment, hung: bool) {
        self.hung = hung;
        self.since = now.unix_ms;
    }

    fn went_down(&mut self, now: Moment, end: &End) {
        let text = match end {
            End::Panicked(text) => text.clone(),
            End::ByItself => "ended by itself".to_owned(),
        };
        self.last_exit = Some(Exit { text, at: now.unix_ms });
        self.down = Some(end.clone());
    }
}
