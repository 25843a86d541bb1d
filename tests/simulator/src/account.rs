//! The application that the two servers run: accounts that may not be overdrawn. Small, and enough to see a command done twice, an answer
//! that changed, or a store that differs.

use duplex::model::{CommandId, Row, TerminalId};
use serde::{Deserialize, Serialize};

/// Few, so that commands of many terminals meet in the same rows.
pub const ACCOUNTS: u64 = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub number: u64,
    pub value: i64,
    /// How often it was changed: a row that missed one shows it for ever.
    pub changes: u64,
}

impl Row for Account {
    type Key = u64;

    fn key(&self) -> u64 {
        self.number
    }
}

impl Account {
    pub fn empty(number: u64) -> Self {
        Self { number, value: 0, changes: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A withdrawal is negative; one that would overdraw is refused, and the refusal is an outcome like any other.
    Book {
        account: u64,
        amount: i64,
    },
    Read {
        account: u64,
    },
}

/// A terminal's command: the same number is the same command, however often it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    pub terminal: u32,
    pub number: u32,
    pub order: Order,
}

impl Command {
    pub fn terminal_id(&self) -> TerminalId {
        TerminalId(format!("T{:05}", self.terminal))
    }

    pub fn command_id(&self) -> CommandId {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.terminal.to_le_bytes());
        id[4..8].copy_from_slice(&self.number.to_le_bytes());
        CommandId(id)
    }

    /// Which command an id names.
    pub fn named(id: &CommandId) -> (u32, u32) {
        let part = |at: usize| u32::from_le_bytes([id.0[at], id.0[at + 1], id.0[at + 2], id.0[at + 3]]);
        (part(0), part(4))
    }
}

/// What the terminal hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub done: bool,
    /// The account after it.
    pub value: i64,
}

impl Outcome {
    pub fn encode(self) -> Vec<u8> {
        postcard::to_stdvec(&self).expect("a flag and a number")
    }

    pub fn decode(bytes: &[u8]) -> Self {
        postcard::from_bytes(bytes).expect("written by `encode`; the entry's digest was checked")
    }
}
