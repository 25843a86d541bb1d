//! What to supervise, as data: children, groups of them, and the numbers that decide about
//! restarts.

use std::fmt;
use std::time::Duration;

use actix::{Actor, Context, Supervised};
use actix_rt::ArbiterHandle;

use crate::outline::Outline;
use crate::runner::{self, Post};
use crate::seat::Seat;
use crate::tree::{self, Hang, Tree};

/// When a child that has ended is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always, also when it ended by itself.
    Permanent,
    /// Only when it panicked; ending by itself means that its work is done.
    Transient,
    /// Never, not even when a sibling's failure takes it down.
    Temporary,
}

/// Who is restarted with a member of a group that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Only the failed member.
    OneForOne,
    /// All members of the group.
    OneForAll,
    /// The failed member and those that start after it.
    RestForOne,
}

/// How many restarts a group allows within a sliding window; one more and the group itself has
/// failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts allowed.
    pub restarts: u32,
    /// Length of the window.
    pub within: Duration,
}

/// How long a restart waits: the n-th within the window waits `first` doubled n-1 times, at most
/// `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first restart in a window.
    pub first: Duration,
    /// Before any.
    pub cap: Duration,
}

impl Backoff {
    pub(crate) fn delay(&self, nth: u32) -> Duration {
        let factor = 2u32.saturating_pow(nth.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.cap)
    }
}

/// Specification of one supervised actor.
pub struct Child {
    name: String,
    restart: Restart,
    hang_limit: Duration,
    launch: Launch,
}

/// Puts the actor's runner on its arbiter.
pub(crate) type Launch = Box<dyn FnOnce(Post) + Send>;

impl Child {
    /// The actor of `seat`, living on the thread of `arbiter`; `build` runs there too.
    /// [`Restart::Permanent`], hang limit 10 s.
    ///
    /// `build` is called again only while it has not yet succeeded: it panicked. Afterwards an actor
    /// is reborn in place, by [`Supervised::restarting`].
    pub fn new<A>(
        name: impl Into<String>,
        seat: Seat<A>,
        arbiter: ArbiterHandle,
        build: impl FnMut() -> A + Send + 'static,
    ) -> Self
    where
        A: Actor<Context = Context<A>> + Supervised,
    {
        Self {
            name: name.into(),
            restart: Restart::Permanent,
            // Far above any handler that does not block; see `hang_limit`.
            hang_limit: Duration::from_secs(10),
            launch: Box::new(move |post| runner::launch(post, seat, &arbiter, build)),
        }
    }

    /// When it is restarted, if not always.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long one message, or one poll of the actor's other futures, may take before it counts as
    /// hanging. An actor that blocks rightfully, on a thread of its own, gets the longest time that
    /// it may block.
    pub fn hang_limit(mut self, limit: Duration) -> Self {
        self.hang_limit = limit;
        self
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .field("hang_limit", &self.hang_limit)
            .finish_non_exhaustive()
    }
}

/// Specification of a group: members in start order, each an actor or a group again.
#[derive(Debug)]
pub struct Group {
    name: String,
    strategy: Strategy,
    intensity: Intensity,
    backoff: Backoff,
    members: Vec<Member>,
}

#[derive(Debug)]
enum Member {
    Actor(Child),
    Group(Group),
}

impl Group {
    /// Allows 1 restart within 5 s, as OTP does, and waits 10 ms to 1 s before a restart.
    pub fn new(name: impl Into<String>, strategy: Strategy) -> Self {
        Self {
            name: name.into(),
            strategy,
            intensity: Intensity { restarts: 1, within: Duration::from_secs(5) },
            backoff: Backoff { first: Duration::from_millis(10), cap: Duration::from_secs(1) },
            members: Vec::new(),
        }
    }

    /// Allow `restarts` within any window of this length.
    pub fn intensity(mut self, restarts: u32, within: Duration) -> Self {
        self.intensity = Intensity { restarts, within };
        self
    }

    /// Wait `first` before a restart, doubled for each further one in the window, at most `cap`.
    /// Keep `cap` below the window divided by the restarts allowed: slower restarts would never
    /// exceed the intensity.
    pub fn backoff(mut self, first: Duration, cap: Duration) -> Self {
        self.backoff = Backoff { first, cap };
        self
    }

    /// Append an actor.
    pub fn actor(mut self, child: Child) -> Self {
        self.members.push(Member::Actor(child));
        self
    }

    /// Append a group.
    pub fn group(mut self, group: Group) -> Self {
        self.members.push(Member::Group(group));
        self
    }

    /// Start everything, in order, under a supervising thread. `on_hang` is called on that thread,
    /// once for each poll that exceeds its child's hang limit, and must return soon: while it runs
    /// nothing is supervised. A hanging child is never restarted, because its thread would remain.
    ///
    /// # Errors
    /// A specification that contradicts itself, or a thread that the system refuses.
    pub fn start(self, on_hang: impl FnMut(Hang) + Send + 'static) -> Result<Tree, StartError> {
        self.check("")?;
        let mut plan = Plan::default();
        plan.enter(self);
        tree::start(plan, Box::new(on_hang)).map_err(StartError::Thread)
    }

    fn check(&self, above: &str) -> Result<(), StartError> {
        let path = format!("{above}{}", self.name);
        let refuse = |what: String| Err(StartError::Specification(format!("group {path}: {what}")));
        let Intensity { restarts, within } = self.intensity;
        if restarts > 0 && within.is_zero() {
            return refuse(format!("{restarts} restarts within a window of no length"));
        }
        if self.backoff.first > self.backoff.cap {
            return refuse(format!("first backoff {:?} is above its cap {:?}", self.backoff.first, self.backoff.cap));
        }
        let mut names: Vec<&str> = Vec::new();
        for member in &self.members {
            let name = member.name();
            if name.is_empty() || name.contains('/') {
                return refuse(format!("member name {name:?} is empty or contains a slash"));
            }
            if names.contains(&name) {
                return refuse(format!("two members are named {name}"));
            }
            names.push(name);
            member.check(&format!("{path}/"))?;
        }
        Ok(())
    }
}

impl Member {
    fn name(&self) -> &str {
        match self {
            Member::Actor(child) => &child.name,
            Member::Group(group) => &group.name,
        }
    }

    fn check(&self, above: &str) -> Result<(), StartError> {
        match self {
            Member::Group(group) => group.check(above),
            Member::Actor(child) if child.hang_limit.is_zero() => {
                Err(StartError::Specification(format!("actor {above}{}: hang limit of no length", child.name)))
            }
            Member::Actor(_) => Ok(()),
        }
    }
}

/// The specification taken apart: the decisions' view, and for each actor, in start order, how to
/// run and watch it.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) outline: Outline,
    pub(crate) launches: Vec<Launch>,
    pub(crate) hang_limits: Vec<Duration>,
}

impl Plan {
    fn enter(&mut self, group: Group) {
        self.outline.open(group.name, group.strategy, group.intensity, group.backoff);
        for member in group.members {
            match member {
                Member::Group(group) => self.enter(group),
                Member::Actor(child) => {
                    self.outline.actor(child.name, child.restart);
                    self.launches.push(child.launch);
                    self.hang_limits.push(child.hang_limit);
                }
            }
        }
        self.outline.close();
    }
}

/// Why a tree could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The specification contradicts itself.
    Specification(String),
    /// The system refused the supervising thread.
    Thread(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Specification(what) => write!(f, "cannot supervise {what}"),
            StartError::Thread(error) => write!(f, "cannot start the supervising thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Specification(_) => None,
            StartError::Thread(error) => Some(error),
        }
    }
}
