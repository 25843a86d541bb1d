#![doc = include_str!("../README.md")]

mod decide;
mod link;
mod outline;
mod panics;
mod report;
mod runner;
mod seat;
mod spec;
mod tree;
mod watch;

pub use report::{Ended, Escalation, Exit, Failure, Kind, Report, State, Stopped};
pub use seat::{Seat, seat};
pub use spec::{Backoff, Child, Group, Intensity, Restart, StartError, Strategy};
pub use tree::{Hang, Tree};
