//! Orders that this box's own user gives to its server, over a socket in the data directory: a line of JSON there, a line back.
//!
//! Whoever may open that directory may give orders; the socket is nobody else's.

use serde::{Deserialize, Serialize};

/// Longest line, bytes: an order is a word.
pub const LINE_MAX: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// The other server shall be Main.
    SwitchOver,
    /// The other server, of this name, is off, says a person: this one shall serve alone.
    ConfirmAlone { off: String, accept_loss: bool },
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    SwitchedOver {
        epoch: u64,
        took_ms: u64,
    },
    Alone {
        epoch: u64,
    },
    /// For people.
    Refused {
        reason: String,
    },
}
