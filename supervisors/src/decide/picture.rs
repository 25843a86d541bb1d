//! What the machine shows of itself.

use super::{Actor, End, Machine, Mode, Phase};
use crate::outline::{ActorId, GroupId, Member};
use crate::report::{Kind, Report, State};

impl Machine {
    /// The tree as of now.
    pub(crate) fn report(&self) -> Report {
        self.report_group(0)
    }

    fn report_group(&self, id: GroupId) -> Report {
        let (outline, group) = (&self.outline.groups[id], &self.groups[id]);
        let report = |member: &Member| match *member {
            Member::Actor(id) => self.report_actor(id),
            Member::Group(id) => self.report_group(id),
        };
        let children: Vec<Report> = outline.members.iter().map(report).collect();
        Report {
            name: outline.name.clone(),
            kind: Kind::Group,
            state: self.worst(&children),
            restarts: group.restarts,
            last_exit: group.last_exit.clone(),
            since: children.iter().map(|child| child.since).max().unwrap_or(group.since),
            children,
        }
    }

    fn worst(&self, children: &[Report]) -> State {
        // While the tree serves, only a temporary actor's failure is final, and is not its group's.
        let concerns_the_group = |state: &State| *state != State::Failed || matches!(self.mode, Mode::Escalated | Mode::Stopped);
        let worst = children.iter().map(|child| child.state).filter(concerns_the_group).max();
        worst.unwrap_or(if children.is_empty() { State::Running } else { State::Stopped })
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

impl Actor {
    fn state(&self, mode: Mode) -> State {
        match (self.phase, &self.down) {
            (Phase::Gone, Some(End::Panicked(_))) => State::Failed,
            (Phase::Gone, _) => State::Stopped,
            _ if self.hung => State::Hung,
            (Phase::Leaving, Some(End::Panicked(_))) => State::Failed,
            (Phase::Leaving, _) => State::Stopped,
            (Phase::Waiting, _) => State::Starting,
            (Phase::Starting, _) if self.life > 1 => State::Restarting,
            (Phase::Starting, _) => State::Starting,
            (Phase::Running, _) => State::Running,
            (Phase::Holding | Phase::Held, None) => State::Held,
            (Phase::Holding | Phase::Held, Some(_)) if mode == Mode::Serving => State::Restarting,
            (Phase::Holding | Phase::Held, Some(_)) => State::Failed,
        }
    }
}
