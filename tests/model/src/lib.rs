//! Two servers, an arbiter, and everything that can go wrong between them, explored state by state.
//!
//! The decisions are not a copy: `machines` and `model` below are the very files that `duplex serve` is built from, and every state is
//! reached by stepping [`machines::failover::Failover`] and by asking [`machines::stream`]. What is the model's own is the world around
//! them: disks, journals whose end is not yet synced, a network, compare-and-sets that land late, and the gate's rule in its shortest form.
//!
//! What it leaves out: heartbeats and readings of the register are late only within a bound; news within a process come before news from
//! outside; leases, `async`, switchover and the store are not there.
//!
//! [`Pair`] is a stateright model. Its properties are the promises P1, P2, P3 and, from every state, that a world without further faults
//! ends as a pair that acknowledges. [`Planted`] bugs show that it would see one.

#[path = "../../../src"]
mod source {
    pub mod machines;
    pub mod model;
}

mod actions;
mod calm;
mod pair;
mod perform;
mod planted;
mod runs;
mod serving;
mod world;

pub use actions::Action;
pub use pair::{Bounds, ENDS_WELL, From, KEPT, Pair};
pub use planted::Planted;
pub use runs::Run;
pub use source::{machines, model};
pub use world::World;
