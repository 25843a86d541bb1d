//! What the failover machine hears and what it wants done.

use crate::model::{Coordination, Epoch, Holder, Register, Role, Standing};

/// Why the peer counts as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Its process is known to be gone: nothing of it can act any more.
    Dead,
    Silent,
    /// It says itself that it cannot acknowledge.
    CannotAcknowledge,
    /// It has not stored for T what this server's journal has stored.
    NotStoring,
}

/// What happened, as judged by `health`, the arbiter, the peer or this server's own storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    PeerSays(Standing),
    PeerLost(Loss),
    /// No reason to call it lost is left.
    PeerBack,
    /// Every lease that this server has granted by its echoes has run out.
    LeasesOut,
    /// The register was read.
    Register(Register),
    /// A compare-and-set of this server is the register now.
    Landed(Register),
    /// It did not match; this is the register. An earlier request may still land.
    Differs(Register),
    /// Nobody knows whether it landed.
    NoAnswer,
    RetryDue,
    RefreshDue,
    /// The peer wants to open its stream to this server.
    StreamWanted {
        epoch: Epoch,
        holder: Holder,
    },
    /// This server's stream is open at the peer: both journals agree up to where it begins.
    Compared,
    CompareTooLong,
    StreamLost,
    /// The follower lacks few entries and the arbiter answered within the last second.
    PeerNear,
    /// The follower has stored everything executed before acknowledgements began to need it.
    PeerLevel,
    /// The peer has noted durably that it will enter the Pair of this register.
    PeerIntended(Register),
    IntendWanted(Register),
    EnterWanted(Register),
    /// JournalWriter, ReplicationSender or DataUpdater was reborn.
    StorageReborn,
    /// A person, or this server's own health, wants the Sub to be Main.
    SwitchoverWanted,
    /// No more commands are taken, and everything that was executed is stored on both.
    Drained,
    SwitchoverTooLong,
    /// A person says that the other server is off, and that this one shall serve alone.
    PersonConfirms,
    /// This server cannot store any more.
    Sick,
    StopWanted,
}

/// When answers may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    Closed,
    /// What both have stored.
    Both(Epoch),
    /// What this server has stored.
    Own(Epoch),
    /// What this server has stored, while its lease lasts (`async`).
    Leased(Epoch),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressSet {
    None,
    Main,
    Sub,
    Both,
}

/// What entitles to the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldBy {
    /// The peer's echoes: withdrawn when they stop.
    Lease,
    /// The arbiter's grant of a Solo epoch.
    Grant,
    /// The peer is about to take them: kept while the lease lasts, so that nobody calls into the void, until it announces them.
    Yield,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamVerdict {
    /// As Sub of the Pair: nothing may be cut.
    AsSub,
    /// As a returning server: what the holder lacks is saved and cut.
    Rejoining,
    NotNow,
    EpochOld {
        ours: Epoch,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TellPeer {
    Intend(Register),
    Enter(Register),
    Intended(Register),
}

/// What to do, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Make this durable before the next effect.
    Note(Coordination),
    Ask {
        expected: Register,
        new: Register,
    },
    ReadRegister,
    Gate(Rule),
    /// Start a new run as holder: new stream number, compare, apply everything, then DataUpdater.
    Begin {
        epoch: Epoch,
        holder: Holder,
    },
    /// The same run goes on under a new epoch.
    Continue {
        epoch: Epoch,
        holder: Holder,
    },
    /// End the run as holder.
    Cease,
    /// Whether the peer's stream is admitted at all; `false` closes one that is open and stops confirming.
    Admit(bool),
    /// Answer to the last [`Event::StreamWanted`].
    Stream(StreamVerdict),
    /// Whether DataUpdater takes commands; `false` asks for [`Event::Drained`].
    TakeCommands(bool),
    /// From now on, tell when the peer has stored all that is executed now.
    WatchLevel,
    Tell(TellPeer),
    Addresses(AddressSet, HoldBy),
    /// End every client's session: whoever is cut off connects again, and repeats. Done before the next effect.
    Dismiss,
    /// Whether this server's echoes extend the peer's leases.
    GrantLeases(bool),
    Story(Story),
    /// End the process; the peer is the last supervisor.
    Exit(Story),
}

/// One line of the story that the log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Story {
    PeerLost(Loss),
    Asking(Epoch),
    TookOver(Epoch),
    CarriedOnAlone(Epoch),
    PeerNear,
    Paired(Role, Epoch),
    Rejoining(Epoch),
    OtherHasNewer,
    /// By a person's word.
    Confirmed(Epoch),
    SwitchingOver,
    /// Main as before; nothing was asked for.
    SwitchoverGivenUp,
    HandedOver(Epoch),
    /// The arbiter's register is older than what this disk held: restored or regressed.
    RegisterRegressed,
    /// This disk is not the one that the arbiter knows, or it lacks entries that were recorded.
    DiskStale,
    Sick,
    Stopped,
}
