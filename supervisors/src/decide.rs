//! Which actors start, are held, restart and when, and when the tree gives up. Pure: no actix, no clock; time is passed in.
//!
//! A (re)start in order is a *line*: a range of actors that were taken down together. An actor of the line starts once the
//! backoff is over, all before it in the line are up, and nobody in the line is still coming to rest. An actor that failed
//! alone (one_for_one) is a line of its own.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;
use std::time::Duration;

use crate::outline::{ActorId, GroupId, Outline};
use crate::report::{Ended, Escalation, Exit, Failure, Kind, Report, State, Stopped};
use crate::spec::Restart;

/// One moment on two clocks: decisions use the first, reports show the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since the tree was started, monotonic.
    pub(crate) elapsed: Duration,
    pub(crate) unix_ms: u64,
}

/// What happened. A `life` numbers the times that an actor was (re)born, so that late news of an earlier life is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Tick,
    /// `started` of this life is through.
    Started {
        actor: ActorId,
        life: u64,
    },
    /// The actor rests, as this life was ordered to.
    Held {
        actor: ActorId,
        life: u64,
    },
    /// The actor of this life went down by itself, and rests.
    Exited {
        actor: ActorId,
        life: u64,
        end: End,
    },
    /// The actor is dropped; nothing more will come from it.
    Left {
        actor: ActorId,
        last_words: Option<String>,
    },
    Hung {
        actor: ActorId,
    },
    Moves {
        actor: ActorId,
    },
    Stop {
        within: Duration,
    },
}

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Panicked(String),
    ByItself,
}

/// What an actor shall do, until told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Rest; do nothing, keep everything. `life` is the one that is meant.
    Hold { life: u64 },
    /// Live this life: be (re)born if it is a new one.
    Run { life: u64 },
    /// Stop as actors do, then leave.
    Stop,
    /// Leave without a further word.
    Leave,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Order(ActorId, Order),
    End(Ended),
}

/// The state of all supervision of one tree.
#[derive(Debug)]
pub(crate) struct Machine {
    outline: Outline,
    groups: Vec<Group>,
    actors: Vec<Actor>,
    mode: Mode,
    failures: VecDeque<Failure>,
    effects: Vec<Effect>,
    /// The moment of the last step.
    now: Duration,
}

/// Failures kept for an escalation: several times what sensible intensities allow before one.
const FAILURES_KEPT: usize = 32;

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

#[derive(Debug, Default)]
struct Group {
    /// When the restarts inside the window were decided.
    recent: VecDeque<Duration>,
    restarts: u64,
    last_exit: Option<Exit>,
    /// For a group without actors: since when it exists.
    since: u64,
}

#[derive(Debug)]
struct Actor {
    phase: Phase,
    life: u64,
    line: Range<ActorId>,
    not_before: Duration,
    /// How the present or last life went down by itself; cleared by a new life.
    down: Option<End>,
    hung: bool,
    last_exit: Option<Exit>,
    since: u64,
}

/// ```text
/// Waiting ─→ Starting ─→ Running ─→ Holding ─→ Held ─→ Starting …      Leaving ─→ Gone
///               └──── went down by itself ──────┘
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
        let actor = |_| Actor {
            phase: Phase::Waiting,
            life: 0,
            line: all.clone(),
            not_before: now.elapsed,
            down: None,
            hung: false,
            last_exit: None,
            since: now.unix_ms,
        };
        let group = |_: &_| Group {
            since: now.unix_ms,
            ..Group::default()
        };
        Self {
            groups: outline.groups.iter().map(group).collect(),
            actors: all.clone().map(actor).collect(),
            mode: Mode::Serving,
            failures: VecDeque::new(),
            effects: Vec::new(),
            now: now.elapsed,
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
            Event::Exited { actor, life, end } => self.exited(now, actor, life, end),
            Event::Left { actor, last_words } => self.left(now, actor, last_words),
            Event::Hung { actor } => self.mark_hung(now, actor, true),
            Event::Moves { actor } => self.mark_hung(now, actor, false),
            Event::Stop { within } => self.stop(now.elapsed + within),
        }
        self.advance(now);
        mem::take(&mut self.effects)
    }

    /// When the next decision falls due without an event.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self.mode {
            Mode::Serving => {
                let resting = self
                    .actors
                    .iter()
                    .filter(|actor| matches!(actor.phase, Phase::Waiting | Phase::Held));
                // Those whose moment has passed wait for others, that is for an event.
                resting
                    .map(|actor| actor.not_before)
                    .filter(|&moment| moment > self.now)
                    .min()
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

    fn exited(&mut self, now: Moment, id: ActorId, life: u64, end: End) {
        let restart = self.outline.actors[id].restart;
        let actor = &mut self.actors[id];
        if actor.life != life || matches!(actor.phase, Phase::Waiting | Phase::Held | Phase::Gone) {
            return;
        }
        actor.went_down(now, &end);
        let returns = match (restart, &end) {
            (Restart::Permanent, _) | (Restart::Transient, End::Panicked(_)) => true,
            (Restart::Transient, End::ByItself) | (Restart::Temporary, _) => false,
        };
        match actor.phase {
            Phase::Leaving => {}
            _ if !returns => self.dismiss(now, id),
            // Down together with the siblings that take it down anyway: not counted once more.
            Phase::Holding => actor.enter(now, Phase::Held),
            _ => {
                actor.enter(now, Phase::Held);
                self.remember_failure(now, id);
                if self.mode == Mode::Serving {
                    self.fail(now, id);
                }
            }
        }
    }

    fn left(&mut self, now: Moment, id: ActorId, last_words: Option<String>) {
        let expected = matches!(self.actors[id].phase, Phase::Leaving | Phase::Gone);
        let arbiter_gone = (!expected).then(|| "its arbiter has stopped".to_owned());
        let actor = &mut self.actors[id];
        if let Some(text) = last_words.or(arbiter_gone) {
            actor.went_down(now, &End::Panicked(text));
        }
        actor.enter(now, Phase::Gone);
        if !expected && self.mode == Mode::Serving {
            self.remember_failure(now, id);
            let cause = format!(
                "{} cannot be restarted: its arbiter has stopped",
                self.outline.actors[id].path
            );
            self.escalate(now, id, cause);
        }
    }

    fn mark_hung(&mut self, now: Moment, id: ActorId, hung: bool) {
        self.actors[id].hung = hung;
        self.actors[id].since = now.unix_ms;
    }

    /// A second stop can only bring the deadline nearer.
    fn stop(&mut self, deadline: Duration) {
        self.mode = match self.mode {
            Mode::Serving | Mode::Escalated => Mode::Stopping { deadline },
            Mode::Stopping { deadline: earlier } => Mode::Stopping {
                deadline: earlier.min(deadline),
            },
            Mode::Stopped => Mode::Stopped,
        };
    }

    /// The actor failed: its group restarts it with whom the strategy names, or fails in its turn, and so on upward.
    fn fail(&mut self, now: Moment, id: ActorId) {
        let mut member = id..id + 1;
        let mut group = self.outline.actors[id].group;
        loop {
            if let Some(delay) = self.admit(now, group) {
                return self.restart(now, group, &member, now.elapsed + delay);
            }
            let outline = &self.outline.groups[group];
            let (restarts, within) = (outline.intensity.restarts, outline.intensity.within);
            let text = format!(
                "{}: more than {restarts} restarts within {within:?}",
                outline.name
            );
            self.groups[group].last_exit = Some(Exit {
                text: text.clone(),
                at: now.unix_ms,
            });
            match outline.parent {
                Some(parent) => (member, group) = (outline.range.clone(), parent),
                None => return self.escalate(now, id, text),
            }
        }
    }

    /// Count one more restart in this group; the delay before it, or nothing if it would exceed the intensity.
    fn admit(&mut self, now: Moment, group: GroupId) -> Option<Duration> {
        let outline = &self.outline.groups[group];
        let recent = &mut self.groups[group].recent;
        while recent
            .front()
            .is_some_and(|&at| now.elapsed.saturating_sub(at) > outline.intensity.within)
        {
            recent.pop_front();
        }
        let nth = u32::try_from(recent.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        (nth <= outline.intensity.restarts).then(|| {
            recent.push_back(now.elapsed);
            outline.backoff.delay(nth)
        })
    }

    fn restart(
        &mut self,
        now: Moment,
        group: GroupId,
        member: &Range<ActorId>,
        not_before: Duration,
    ) {
        let line = self.outline.groups[group].affected(member);
        for below in group + 1..self.groups.len() {
            let range = &self.outline.groups[below].range;
            if !range.is_empty()
                && line.start <= range.start
                && range.end <= line.end
                && self.is_below(below, group)
            {
                // Reborn with its members: what it allowed before is forgotten.
                self.groups[below].recent.clear();
                self.groups[below].restarts += 1;
            }
        }
        for id in line.clone().rev() {
            self.hold(now, id, &line, not_before);
        }
    }

    fn is_below(&self, group: GroupId, ancestor: GroupId) -> bool {
        let mut above = self.outline.groups[group].parent;
        while let Some(id) = above.filter(|&id| id > ancestor) {
            above = self.outline.groups[id].parent;
        }
        above == Some(ancestor)
    }

    /// Take the actor down, to start again in its turn.
    fn hold(&mut self, now: Moment, id: ActorId, line: &Range<ActorId>, not_before: Duration) {
        let temporary = self.outline.actors[id].restart == Restart::Temporary;
        let actor = &mut self.actors[id];
        match actor.phase {
            Phase::Gone | Phase::Leaving => return,
            Phase::Starting | Phase::Running | Phase::Holding if temporary => {
                return self.dismiss(now, id);
            }
            Phase::Starting | Phase::Running => {
                actor.enter(now, Phase::Holding);
                self.effects
                    .push(Effect::Order(id, Order::Hold { life: actor.life }));
            }
            Phase::Waiting | Phase::Holding | Phase::Held => {}
        }
        actor.line = line.clone();
        actor.not_before = not_before.max(actor.not_before);
    }

    fn dismiss(&mut self, now: Moment, id: ActorId) {
        self.actors[id].enter(now, Phase::Leaving);
        self.effects.push(Effect::Order(id, Order::Leave));
    }

    /// Give up: nothing runs on without what has failed; the program is told, and may still stop the tree in order.
    fn escalate(&mut self, now: Moment, id: ActorId, cause: String) {
        self.mode = Mode::Escalated;
        for id in (0..self.actors.len()).rev() {
            let actor = &mut self.actors[id];
            if matches!(actor.phase, Phase::Starting | Phase::Running) {
                actor.enter(now, Phase::Holding);
                self.effects
                    .push(Effect::Order(id, Order::Hold { life: actor.life }));
            }
        }
        self.effects
            .push(Effect::End(Ended::Escalated(Box::new(Escalation {
                child: self.outline.actors[id].path.clone(),
                cause,
                failures: self.failures.iter().cloned().collect(),
                report: self.report(),
            }))));
    }

    fn remember_failure(&mut self, now: Moment, id: ActorId) {
        if self.failures.len() == FAILURES_KEPT {
            self.failures.pop_front();
        }
        let text = self.actors[id]
            .last_exit
            .as_ref()
            .map_or_else(String::new, |exit| exit.text.clone());
        self.failures.push_back(Failure {
            child: self.outline.actors[id].path.clone(),
            text,
            at: now.unix_ms,
        });
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
        let Actor {
            phase,
            not_before,
            ref line,
            ..
        } = self.actors[id];
        if !matches!(phase, Phase::Waiting | Phase::Held) || now.elapsed < not_before {
            return;
        }
        let up = |actor: &Actor| matches!(actor.phase, Phase::Running | Phase::Gone);
        let coming_to_rest = |actor: &Actor| matches!(actor.phase, Phase::Holding | Phase::Leaving);
        if !self.actors[line.start..id].iter().all(up)
            || self.actors[line.clone()].iter().any(coming_to_rest)
        {
            return;
        }
        let actor = &mut self.actors[id];
        actor.life += 1;
        actor.down = None;
        actor.enter(now, Phase::Starting);
        self.effects
            .push(Effect::Order(id, Order::Run { life: actor.life }));
    }

    /// The last that started stops first; at the deadline the rest is left behind.
    fn stop_in_turn(&mut self, now: Moment, deadline: Duration) {
        let staying = (0..self.actors.len()).filter(|&id| self.actors[id].phase != Phase::Gone);
        let staying: Vec<ActorId> = staying.collect();
        let Some(&last) = staying.last() else {
            return self.end_stopped(Stopped::default());
        };
        if now.elapsed >= deadline {
            self.effects
                .extend(staying.iter().map(|&id| Effect::Order(id, Order::Leave)));
            let left_behind = staying
                .iter()
                .map(|&id| self.outline.actors[id].path.clone())
                .collect();
            return self.end_stopped(Stopped { left_behind });
        }
        if self.actors[last].phase != Phase::Leaving {
            self.actors[last].enter(now, Phase::Leaving);
            self.effects.push(Effect::Order(last, Order::Stop));
        }
    }

    fn end_stopped(&mut self, stopped: Stopped) {
        self.mode = Mode::Stopped;
        self.effects.push(Effect::End(Ended::Stopped(stopped)));
    }
}

impl Actor {
    fn enter(&mut self, now: Moment, phase: Phase) {
        self.phase = phase;
        self.since = now.unix_ms;
    }

    fn went_down(&mut self, now: Moment, end: &End) {
        let text = match end {
            End::Panicked(text) => text.clone(),
            End::ByItself => "ended by itself".to_owned(),
        };
        self.last_exit = Some(Exit {
            text,
            at: now.unix_ms,
        });
        self.down = Some(end.clone());
    }

    fn state(&self, mode: Mode) -> State {
        let again = self.life > 1;
        match (self.phase, &self.down) {
            (Phase::Gone, Some(End::Panicked(_))) => State::Failed,
            (Phase::Gone, _) => State::Stopped,
            _ if self.hung => State::Hung,
            (Phase::Leaving, Some(End::Panicked(_))) => State::Failed,
            (Phase::Leaving, _) => State::Stopped,
            (Phase::Waiting, _) => State::Starting,
            (Phase::Starting, _) if again => State::Restarting,
            (Phase::Starting, _) => State::Starting,
            (Phase::Running, _) => State::Running,
            (Phase::Holding | Phase::Held, None) => State::Held,
            (Phase::Holding | Phase::Held, Some(_)) if mode == Mode::Serving => State::Restarting,
            (Phase::Holding | Phase::Held, Some(_)) => State::Failed,
        }
    }
}

impl Machine {
    /// The tree as of now.
    pub(crate) fn report(&self) -> Report {
        self.report_group(0)
    }

    fn report_group(&self, id: GroupId) -> Report {
        let (outline, group) = (&self.outline.groups[id], &self.groups[id]);
        let below = (id + 1..self.groups.len())
            .filter(|&below| self.outline.groups[below].parent == Some(id));
        let below = below.map(|below| {
            (
                self.outline.groups[below].range.start,
                0,
                below,
                self.report_group(below),
            )
        });
        let inside = outline
            .range
            .clone()
            .filter(|&actor| self.outline.actors[actor].group == id);
        let inside = inside.map(|actor| (actor, 1, actor, self.report_actor(actor)));
        let mut members: Vec<_> = below.chain(inside).collect();
        members.sort_by_key(|&(start, actor, id, _)| (start, actor, id));
        let children: Vec<Report> = members.into_iter().map(|(.., report)| report).collect();
        // A temporary actor's failure is final, and no failure of its group.
        let counted = |report: &&Report| {
            !(report.kind == Kind::Actor
                && report.state == State::Failed
                && self.mode == Mode::Serving)
        };
        let worst = children
            .iter()
            .filter(counted)
            .map(|report| report.state)
            .max();
        Report {
            name: outline.name.clone(),
            kind: Kind::Group,
            state: worst.unwrap_or(if children.is_empty() {
                State::Running
            } else {
                State::Stopped
            }),
            restarts: group.restarts,
            last_exit: group.last_exit.clone(),
            since: children
                .iter()
                .map(|report| report.since)
                .max()
                .unwrap_or(group.since),
            children,
        }
    }

    fn report_actor(&self, id: ActorId) -> Report {
        let (outline, actor) = (&self.outline.actors[id], &self.actors[id]);
        Report {
            name: outline.name.clone(),
            kind: Kind::Actor,
            state: actor.state(self.mode),
            restarts: actor.life.saturating_sub(1),
            last_exit: actor.last_exit.clone(),
            since: actor.since,
            children: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
