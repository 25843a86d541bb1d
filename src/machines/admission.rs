//! Who is let in: the bounds on sessions and commands, as one decision each.

/// What is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub sessions: usize,
    /// Of the session that asks: admitted, not yet answered.
    pub in_session: usize,
    /// Bytes of answers that the session has not read yet.
    pub unread_bytes: usize,
}

/// The bounds; see `config::limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub sessions_max: usize,
    pub per_session_max: usize,
    pub unread_bytes_max: usize,
}

/// What happens to a session that wants to send another command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Read,
    /// Nothing more is read from it until it has been answered.
    Wait,
    /// It sends and never reads.
    Close,
}

impl Bounds {
    pub fn session(&self, load: &Load) -> bool {
        load.sessions < self.sessions_max
    }

    pub fn command(&self, load: &Load) -> Admission {
        if load.unread_bytes > self.unread_bytes_max {
            Admission::Close
        } else if load.in_session >= self.per_session_max {
            Admission::Wait
        } else {
            Admission::Read
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { sessions_max: 2, per_session_max: 3, unread_bytes_max: 100 };

    #[test]
    fn a_session_beyond_the_bound_is_not_taken() {
        assert!(BOUNDS.session(&Load { sessions: 1, ..Load::default() }));
        assert!(!BOUNDS.session(&Load { sessions: 2, ..Load::default() }));
    }

    #[test]
    fn a_session_with_enough_unanswered_commands_waits() {
        assert_eq!(BOUNDS.command(&Load { in_session: 2, ..Load::default() }), Admission::Read);
        assert_eq!(BOUNDS.command(&Load { in_session: 3, ..Load::default() }), Admission::Wait);
    }

    #[test]
    fn a_session_that_never_reads_is_closed() {
        assert_eq!(BOUNDS.command(&Load { unread_bytes: 101, ..Load::default() }), Admission::Close);
    }
}
