//! Every fault point, on Main and on Sub, and the story in which it is passed.
//!
//! Not passed by any story here: `replication-receiver/incoming` and what follows it on a Main (nobody streams to one, and it tells
//! no holder).

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Main,
    Sub,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// The pair works.
    Works,
    /// The other server is killed and comes back: the failing one goes on alone, or takes over, and takes it in again.
    PeerDies,
    /// The failing server was killed, and fails as it comes back.
    Returns,
    /// The other server is killed and comes back, and the failing one, alone by then, fails while the other catches up.
    PeerCatchesUp,
    /// Somebody asks over HTTP.
    IsAskedOverHttp,
    /// A person stops the failing server.
    IsStopped,
    /// A person gives the order on Main, whichever of the two fails.
    SwitchesOver,
    /// The failing server's journal cannot be opened any more when its writer is reborn.
    LosesItsJournal,
}

pub struct Case {
    pub role: Role,
    pub story: Story,
    /// As in `DUPLEX_FAULT`.
    pub fault: &'static str,
    /// Of load, if two are not enough.
    pub seconds: Option<f64>,
    /// Whether this is passed depends on what was under way at the moment of a death.
    pub may_not_fire: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {}", self.role, self.story, self.fault)
    }
}

use Role::{Main, Sub};
use Story::{IsAskedOverHttp, IsStopped, LosesItsJournal, PeerCatchesUp, PeerDies, Returns, SwitchesOver, Works};

const fn case(role: Role, story: Story, fault: &'static str) -> Case {
    Case { role, story, fault, seconds: None, may_not_fire: false }
}

const fn perhaps(role: Role, story: Story, fault: &'static str) -> Case {
    Case { may_not_fire: true, ..case(role, story, fault) }
}

/// Longer than the 5 s between checkpoints.
const fn long(role: Role, story: Story, fault: &'static str) -> Case {
    Case { seconds: Some(6.5), ..case(role, story, fault) }
}

/// Time enough to die, to come back and to fail.
const fn catching_up(fault: &'static str) -> Case {
    Case { seconds: Some(4.0), ..case(Main, PeerCatchesUp, fault) }
}

pub const CASES: &[Case] = &[
    case(Main, Works, "address-keeper/hold:1"),
    case(Main, PeerDies, "address-keeper/hold:3"),
    case(Sub, Works, "address-keeper/hold:2"),
    case(Main, Works, "command-acceptor/release:30"),
    case(Sub, PeerDies, "command-acceptor/release:15"),
    case(Main, Works, "command-acceptor/lines:30"),
    case(Sub, PeerDies, "command-acceptor/lines:15"),
    case(Main, IsAskedOverHttp, "command-acceptor/submit:1"),
    case(Sub, IsAskedOverHttp, "command-acceptor/submit:1"),
    case(Main, Works, "command-acceptor/expire:15"),
    case(Sub, Works, "command-acceptor/expire:15"),
    case(Main, Works, "data-updater/work-waiting:30"),
    case(Sub, PeerDies, "data-updater/work-waiting:15"),
    case(Main, Works, "data-updater/execute:60"),
    case(Sub, PeerDies, "data-updater/execute:15"),
    catching_up("data-updater/execute:1"),
    catching_up("data-updater/handed-over:1"),
    case(Main, Works, "data-updater/handed-over:30"),
    case(Sub, PeerDies, "data-updater/handed-over:15"),
    case(Main, Works, "data-updater/applied-moved:1"),
    case(Sub, PeerDies, "data-updater/applied-moved:1"),
    case(Main, Works, "data-updater/start-updating:1"),
    case(Sub, PeerDies, "data-updater/start-updating:1"),
    case(Main, PeerDies, "data-updater/enter-epoch:1"),
    case(Sub, PeerDies, "data-updater/enter-epoch:1"),
    case(Main, Works, "data-updater/cease-updating:1"),
    case(Sub, PeerDies, "data-updater/cease-updating:2"),
    case(Main, Works, "failover-coordinator/event:15"),
    case(Sub, Works, "failover-coordinator/event:15"),
    case(Main, Works, "failover-coordinator/judged:1"),
    case(Sub, PeerDies, "failover-coordinator/judged:2"),
    case(Main, PeerDies, "failover-coordinator/judged:2"),
    case(Main, PeerDies, "failover-coordinator/stream-news:2"),
    case(Sub, PeerDies, "failover-coordinator/stream-news:1"),
    case(Sub, Works, "failover-coordinator/stream-wanted:1"),
    case(Sub, Returns, "failover-coordinator/stream-wanted:1"),
    case(Sub, Returns, "failover-coordinator/holder-says:1"),
    case(Sub, Returns, "failover-coordinator/holder-says:2"),
    case(Main, Returns, "failover-coordinator/holder-says:1"),
    case(Main, Works, "data-updater/execute:60,failover-coordinator/storage-reborn:1"),
    case(Sub, Works, "journal-writer/group:30,failover-coordinator/storage-reborn:1"),
    case(Main, PeerDies, "failover-coordinator/noted:1"),
    case(Main, PeerDies, "failover-coordinator/noted:2"),
    case(Sub, PeerDies, "failover-coordinator/noted:1"),
    case(Sub, PeerDies, "failover-coordinator/noted:2"),
    case(Sub, Returns, "failover-coordinator/noted:1"),
    case(Main, PeerDies, "failover-coordinator/answered:1"),
    case(Sub, PeerDies, "failover-coordinator/answered:1"),
    case(Main, LosesItsJournal, "journal-writer/group:60,failover-coordinator/sick:1"),
    case(Sub, LosesItsJournal, "journal-writer/group:60,failover-coordinator/sick:1"),
    case(Main, IsStopped, "failover-coordinator/stop-wanted:1"),
    case(Sub, IsStopped, "failover-coordinator/stop-wanted:1"),
    case(Main, SwitchesOver, "failover-coordinator/switch-over:1"),
    case(Main, SwitchesOver, "data-updater/take-commands:1"),
    case(Main, SwitchesOver, "replication-sender/tell-follower:1"),
    case(Main, SwitchesOver, "failover-coordinator/noted:1"),
    case(Main, SwitchesOver, "failover-coordinator/noted:2"),
    case(Main, SwitchesOver, "failover-coordinator/answered:1"),
    case(Main, SwitchesOver, "command-acceptor/dismiss:1"),
    case(Main, SwitchesOver, "address-keeper/hold:3"),
    case(Main, SwitchesOver, "data-updater/cease-updating:2"),
    case(Sub, SwitchesOver, "failover-coordinator/holder-says:1"),
    case(Sub, SwitchesOver, "failover-coordinator/noted:1"),
    case(Sub, SwitchesOver, "replication-receiver/tell-holder:1"),
    case(Sub, SwitchesOver, "failover-coordinator/noted:2"),
    case(Sub, SwitchesOver, "replication-sender/begin-stream:1"),
    case(Sub, SwitchesOver, "data-updater/start-updating:1"),
    case(Main, Works, "journal-writer/syncing:30"),
    case(Sub, Works, "journal-writer/syncing:30"),
    catching_up("journal-writer/group:1"),
    catching_up("journal-writer/synced:1"),
    case(Main, Works, "journal-writer/written:30"),
    case(Sub, Works, "journal-writer/written:30"),
    case(Main, Works, "journal-writer/group:30"),
    case(Sub, Works, "journal-writer/group:30"),
    case(Main, Works, "journal-writer/synced:30"),
    case(Sub, Works, "journal-writer/synced:30"),
    case(Main, Works, "journal-writer/begin-run:1"),
    case(Sub, Works, "journal-writer/begin-run:1"),
    perhaps(Main, Returns, "journal-writer/cut-tail:1"),
    long(Main, Works, "journal-writer/store-synced:1"),
    long(Sub, Works, "journal-writer/store-synced:1"),
    case(Main, Works, "replication-sender/begin-stream:1"),
    case(Sub, PeerDies, "replication-sender/begin-stream:1"),
    case(Main, PeerDies, "replication-sender/continue-stream:1"),
    case(Sub, PeerDies, "replication-sender/continue-stream:1"),
    case(Main, Works, "replication-sender/cease-stream:1"),
    case(Sub, Works, "replication-sender/cease-stream:1"),
    case(Main, Works, "replication-sender/send-on:30"),
    case(Sub, PeerDies, "replication-sender/send-on:15"),
    case(Main, PeerDies, "replication-sender/tell-follower:1"),
    case(Sub, PeerDies, "replication-sender/tell-follower:1"),
    case(Main, PeerDies, "replication-sender/watch-level:1"),
    case(Sub, PeerDies, "replication-sender/watch-level:1"),
    case(Main, Works, "replication-sender/frame:30"),
    case(Sub, PeerDies, "replication-sender/frame:3"),
    case(Main, Works, "replication-sender/acknowledged:30"),
    case(Sub, PeerDies, "replication-sender/acknowledged:3"),
    case(Main, Works, "replication-sender/open:1"),
    case(Sub, PeerDies, "replication-sender/open:2"),
    case(Sub, Works, "replication-receiver/incoming:1"),
    case(Sub, Returns, "replication-receiver/incoming:1"),
    case(Main, Works, "replication-receiver/admit:1"),
    case(Sub, Works, "replication-receiver/admit:1"),
    case(Sub, Works, "replication-receiver/admit:2"),
    case(Sub, Works, "replication-receiver/stored-moved:30"),
    case(Sub, Returns, "replication-receiver/tell-holder:1"),
    case(Main, Returns, "replication-receiver/tell-holder:1"),
    case(Sub, Works, "replication-receiver/open:1"),
    case(Sub, Works, "replication-receiver/begin:1"),
    case(Sub, Returns, "replication-receiver/begin:1"),
    case(Sub, Works, "replication-receiver/entries:30"),
    case(Sub, Works, "replication-receiver/acknowledge:30"),
    case(Main, Works, "replication-applier/confirmed-moved:30"),
    case(Sub, Works, "replication-applier/confirmed-moved:30"),
    case(Main, Works, "replication-applier/batch:15"),
    case(Sub, Works, "replication-applier/batch:10"),
    case(Main, Works, "replication-applier/applied:15"),
    case(Sub, Works, "replication-applier/applied:10"),
    case(Main, Works, "state-monitor/beat:60"),
    case(Sub, Works, "state-monitor/beat:60"),
    case(Main, Works, "state-monitor/datagram:60"),
    case(Sub, Works, "state-monitor/datagram:60"),
    case(Main, Works, "state-monitor/stand:1"),
    case(Sub, Works, "state-monitor/stand:2"),
    case(Main, Works, "state-monitor/grant-leases:1"),
    case(Sub, PeerDies, "state-monitor/grant-leases:2"),
    case(Main, Works, "state-monitor/life-told:1"),
    case(Sub, PeerDies, "state-monitor/life-told:2"),
];
