//! What a failure brings down: siblings, groups, or the tree.

use std::ops::Range;
use std::time::Duration;

use super::{Effect, Machine, Mode, Moment, Order, Phase};
use crate::outline::{ActorId, GroupId};
use crate::report::{Ended, Escalation, Exit, Failure};
use crate::spec::{Intensity, Restart};

/// Failures kept for an escalation: several times what sensible intensities allow before one.
const FAILURES_KEPT: usize = 32;

impl Machine {
    /// The actor failed: its group restarts it with whom the strategy names, or fails in its turn,
    /// and so on upward.
    pub(super) fn fail(&mut self, now: Moment, id: ActorId) {
        self.remember_failure(now, id);
        let mut member = id..id + 1;
        let mut group = self.outline.actors[id].group;
        loop {
            if let Some(delay) = self.admit(now, group) {
                return self.restart(now, group, &member, now.elapsed + delay);
            }
            let outline = &self.outline.groups[group];
            let Intensity { restarts, within } = outline.intensity;
            let text = format!("{}: more than {restarts} restarts within {within:?}", outline.name);
            self.groups[group].last_exit = Some(Exit { text: text.clone(), at: now.unix_ms });
            match outline.parent {
                Some(parent) => (member, group) = (outline.range.clone(), parent),
                None => return self.escalate(now, id, text),
            }
        }
    }

    /// Count one more restart in this group; the delay before it, or nothing if it would exceed the
    /// intensity.
    fn admit(&mut self, now: Moment, group: GroupId) -> Option<Duration> {
        let outline = &self.outline.groups[group];
        let Intensity { restarts, within } = outline.intensity;
        let recent = &mut self.groups[group].recent;
        while recent.front().is_some_and(|&at| now.elapsed.saturating_sub(at) > within) {
            recent.pop_front();
        }
        let nth = u32::try_from(recent.len()).unwrap_or(u32::MAX).saturating_add(1);
        (nth <= restarts).then(|| {
            recent.push_back(now.elapsed);
            outline.backoff.delay(nth)
        })
    }

    /// Take down whom the strategy names, the last first; they start again in turn.
    fn restart(&mut self, now: Moment, id: GroupId, member: &Range<ActorId>, not_before: Duration) {
        let line = self.outline.groups[id].affected(member);
        for below in self.outline.groups[id].below.clone() {
            let range = &self.outline.groups[below].range;
            if !range.is_empty() && line.start <= range.start && range.end <= line.end {
                // Reborn with its members: what it counted before is forgotten.
                self.groups[below].recent.clear();
                self.groups[below].restarts += 1;
            }
        }
        for actor in line.clone().rev() {
            self.take_down(now, actor, &line, not_before);
        }
    }

    fn take_down(&mut self, now: Moment, id: ActorId, line: &Range<ActorId>, not_before: Duration) {
        let temporary = self.outline.actors[id].restart == Restart::Temporary;
        match self.actors[id].phase {
            Phase::Gone | Phase::Leaving => return,
            Phase::Starting | Phase::Running if temporary => return self.dismiss(now, id),
            Phase::Starting | Phase::Running => self.hold(now, id),
            Phase::Waiting | Phase::Holding | Phase::Held => {}
        }
        let actor = &mut self.actors[id];
        actor.line = line.clone();
        actor.not_before = not_before.max(actor.not_before);
    }

    fn hold(&mut self, now: Moment, id: ActorId) {
        let actor = &mut self.actors[id];
        actor.enter(now, Phase::Holding);
        self.effects.push(Effect::Order(id, Order::Hold { life: actor.life }));
    }

    /// Let the actor go for good.
    pub(super) fn dismiss(&mut self, now: Moment, id: ActorId) {
        self.actors[id].enter(now, Phase::Leaving);
        self.effects.push(Effect::Order(id, Order::Leave));
    }

    /// The actor went with its thread. No strategy can bring it back.
    pub(super) fn lose(&mut self, now: Moment, id: ActorId) {
        self.remember_failure(now, id);
        let path = &self.outline.actors[id].path;
        let cause = format!("{path} cannot be restarted: its arbiter has stopped");
        self.escalate(now, id, cause);
    }

    /// Give up: nothing runs on without what has failed; the program is told, and may still stop
    /// the tree in order.
    fn escalate(&mut self, now: Moment, id: ActorId, cause: String) {
        self.mode = Mode::Escalated;
        for actor in (0..self.actors.len()).rev() {
            if matches!(self.actors[actor].phase, Phase::Starting | Phase::Running) {
                self.hold(now, actor);
            }
        }
        self.effects.push(Effect::End(Ended::Escalated(Box::new(Escalation {
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
        let exit = self.actors[id].last_exit.as_ref();
        self.failures.push_back(Failure {
            child: self.outline.actors[id].path.clone(),
            text: exit.map_or_else(String::new, |exit| exit.text.clone()),
            at: now.unix_ms,
        });
    }
}
