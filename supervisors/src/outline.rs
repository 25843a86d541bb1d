//! The tree as the decisions see it: actors in start order; a group is a range of them.

use std::ops::Range;

use crate::spec::{Backoff, Intensity, Restart, Strategy};

pub(crate) type ActorId = usize;
pub(crate) type GroupId = usize;

#[derive(Debug)]
pub(crate) struct GroupOutline {
    pub(crate) name: String,
    pub(crate) parent: Option<GroupId>,
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    pub(crate) backoff: Backoff,
    /// The actors inside, at any depth.
    pub(crate) range: Range<ActorId>,
    /// The groups inside, at any depth.
    pub(crate) below: Range<GroupId>,
    /// What is directly inside, in start order.
    pub(crate) members: Vec<Member>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Member {
    Actor(ActorId),
    Group(GroupId),
}

#[derive(Debug)]
pub(crate) struct ActorOutline {
    pub(crate) name: String,
    /// Names from below the root down to the actor, separated by slashes.
    pub(crate) path: String,
    pub(crate) group: GroupId,
    pub(crate) restart: Restart,
}

/// Groups stand parents first; the root is the first.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub(crate) groups: Vec<GroupOutline>,
    pub(crate) actors: Vec<ActorOutline>,
    open: Vec<GroupId>,
}

impl Outline {
    /// Begin a group; what is added until its `close` is inside it.
    pub(crate) fn open(&mut self, name: String, strategy: Strategy, intensity: Intensity, backoff: Backoff) {
        let id = self.groups.len();
        let parent = self.open.last().copied();
        if let Some(parent) = parent {
            self.groups[parent].members.push(Member::Group(id));
        }
        let (first_actor, first_group) = (self.actors.len(), id + 1);
        self.open.push(id);
        self.groups.push(GroupOutline {
            name,
            parent,
            strategy,
            intensity,
            backoff,
            range: first_actor..first_actor,
            below: first_group..first_group,
            members: Vec::new(),
        });
    }

    pub(crate) fn actor(&mut self, name: String, restart: Restart) {
        let group = *self.open.last().expect("an actor is added between a group's open and close");
        let above = self.open.iter().skip(1).map(|&group| format!("{}/", self.groups[group].name));
        let path = above.collect::<String>() + &name;
        self.groups[group].members.push(Member::Actor(self.actors.len()));
        self.actors.push(ActorOutline { name, path, group, restart });
    }

    pub(crate) fn close(&mut self) {
        let group = self.open.pop().expect("a group is closed after it was opened");
        self.groups[group].range.end = self.actors.len();
        self.groups[group].below.end = self.groups.len();
    }
}

impl GroupOutline {
    /// Who restarts with the member that failed.
    pub(crate) fn affected(&self, member: &Range<ActorId>) -> Range<ActorId> {
        match self.strategy {
            Strategy::OneForOne => member.clone(),
            Strategy::OneForAll => self.range.clone(),
            Strategy::RestForOne => member.start..self.range.end,
        }
    }
}
