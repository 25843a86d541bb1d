//! The words between the deciding machine and the world.

use std::time::Duration;

use crate::outline::ActorId;
use crate::report::Ended;

/// One moment on two clocks: decisions use the first, reports show the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since the tree was started, monotonic.
    pub(crate) elapsed: Duration,
    pub(crate) unix_ms: u64,
}

/// What happened. A `life` numbers the times that an actor was (re)born, so that late news of an
/// earlier life is known as such.
#[derive(Debug, Clone, PartialEq, Eq)]
#[rustfmt::skip]
pub(crate) enum Event {
    Tick,
    /// `started` of this life is through.
    Started { actor: ActorId, life: u64 },
    /// The actor rests, as this life was ordered to.
    Held { actor: ActorId, life: u64 },
    /// The actor of this life went down by itself, and rests.
    Exited { actor: ActorId, life: u64, end: End },
    /// The actor is dropped; nothing more will come from it.
    Left { actor: ActorId, last_words: Option<String> },
    /// One piece of the actor's work lasts longer than its hang limit.
    Hung { actor: ActorId },
    /// An actor that hung goes on.
    Moves { actor: ActorId },
    /// Stop the tree.
    Stop { within: Duration },
}

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// With this text.
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

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Order(ActorId, Order),
    /// Tell the program.
    End(Ended),
}
