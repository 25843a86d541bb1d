//! What the tree tells about itself: its report, and how it ended.

use serde::Serialize;

/// One group or actor, and what is below it, as of now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Its name among its siblings.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it does.
    pub state: State,
    /// Times that it was restarted, for whatever reason.
    pub restarts: u64,
    /// How it last went down by itself: a panic, its own end; of a group: the intensity that was
    /// exceeded.
    pub last_exit: Option<Exit>,
    /// Since when it is in this state (a group: since when nothing below it changed), Unix time in
    /// milliseconds.
    pub since: u64,
    /// A group's members in start order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Report>,
}

impl Report {
    /// The report of a child by its path below this one, such as `storage/journal-writer`.
    pub fn find(&self, path: &str) -> Option<&Report> {
        path.split('/').try_fold(self, |report, name| report.children.iter().find(|child| child.name == name))
    }
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A group of children.
    Group,
    /// An actor.
    Actor,
}

/// A group shows the worst that is true of its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Ended, and not to be restarted: its work is done, or the tree was stopped.
    Stopped,
    /// At work, or idle.
    Running,
    /// Its first start is under way, or waits for those before it.
    Starting,
    /// Went down because a sibling did; waits for its turn.
    Held,
    /// Failed, and is waiting for its restart or restarting.
    Restarting,
    /// One poll has lasted longer than its hang limit.
    Hung,
    /// Failed, and is not to be restarted.
    Failed,
}

/// A child's end: what happened and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exit {
    /// Of a panic: where and with which message.
    pub text: String,
    /// Unix time in milliseconds.
    pub at: u64,
}

/// How a tree ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// It was stopped.
    Stopped(Stopped),
    /// It gave up: the root's intensity was exceeded, or an arbiter with children on it stopped.
    /// All children are held.
    Escalated(Box<Escalation>),
}

/// An orderly stop, finished or given up at its deadline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// Paths of the actors that had not stopped at the deadline.
    pub left_behind: Vec<String>,
}

/// Why a tree gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Escalation {
    /// Path of the actor whose failure was the last.
    pub child: String,
    /// Which intensity was exceeded, or which actor was lost.
    pub cause: String,
    /// The failures that led here, oldest first; at most the last 32.
    pub failures: Vec<Failure>,
    /// The tree at that moment.
    pub report: Report,
}

/// One failure that asked for a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Path of the actor.
    pub child: String,
    /// Where it panicked and with which message, or that it ended by itself.
    pub text: String,
    /// Unix time in milliseconds.
    pub at: u64,
}
