//! The takeover as a story: one line for each turn, for the person on call.

use slog::{crit, info, warn};

use super::FailoverCoordinator;
use crate::clock;
use crate::handover::shown::Takeover;
use crate::machines::failover::{Loss, Story};
use crate::model::{Application, Role};

impl<A: Application> FailoverCoordinator<A> {
    pub(super) fn tell_story(&mut self, story: Story) {
        let again = self.last_story.replace(story) == Some(story);
        if matches!(story, Story::Paired(..) | Story::Rejoining(_)) {
            // Only now is that loss over: a peer that is heard again may still lose its place.
            self.lost_at = None;
        }
        self.tell_switchover(story);
        let (log, peer) = (&self.log, self.name(self.machine.disk().server.peer()).to_owned());
        match story {
            Story::PeerLost(loss) => warn!(log, "lost the other server"; "peer" => peer, "because" => because(loss)),
            Story::Asking(epoch) => info!(log, "asking the arbiter for a solo epoch"; "epoch" => epoch.0),
            Story::TookOver(epoch) | Story::CarriedOnAlone(epoch) => {
                let took_ms = self.lost_at.map_or(0, |lost| clock::now().since(lost));
                let took_over = matches!(story, Story::TookOver(_));
                let may_be_lost = (took_over && self.settings.asynchronous).then(|| self.said_beyond());
                let takeover = Takeover { at: clock::unix_now(), took_over, took_ms, may_be_lost };
                self.shown.update(|view| view.last_takeover = Some(takeover));
                if let Some(entries @ 1..) = may_be_lost {
                    warn!(log, "acknowledged entries may be lost: the other server had stored them, and this one has not";
                        "entries_at_least" => entries, "last_here" => self.storage.board.stored().0);
                }
                if took_over {
                    self.storage.metrics.takeovers.inc();
                }
                let what = if took_over { "took over" } else { "carrying on alone" };
                warn!(log, "{}", what; "epoch" => epoch.0, "peer" => peer, "took_ms" => took_ms);
            }
            Story::PeerNear => info!(log, "the other server is near: answers need it from now on"; "peer" => peer),
            Story::Paired(Role::Main, epoch) => info!(log, "a pair, as main"; "epoch" => epoch.0, "peer" => peer),
            Story::Paired(_, epoch) => info!(log, "a pair, as sub"; "epoch" => epoch.0, "peer" => peer),
            // A stream that cannot be taken comes ten times a second.
            Story::Rejoining(_) if again => {}
            Story::Rejoining(epoch) => {
                info!(log, "rejoining: the other server's journal is written here"; "epoch" => epoch.0, "peer" => peer)
            }
            Story::Confirmed(epoch) => {
                warn!(log, "a person says that the other server is off: serving alone by that word"; "epoch" => epoch.0, "peer" => peer)
            }
            Story::SwitchingOver => info!(log, "giving the role of main to the other server"; "peer" => peer),
            Story::SwitchoverGivenUp => warn!(log, "the switchover is given up: main as before"; "peer" => peer),
            Story::HandedOver(epoch) => info!(log, "the other server is main now"; "epoch" => epoch.0, "peer" => peer),
            Story::OtherHasNewer => warn!(log, "the other server has newer data; waiting for its stream"; "peer" => peer),
            Story::RegisterRegressed => {
                crit!(log, "the arbiter's register is older than this disk: was the arbiter restored? A person must look")
            }
            Story::DiskStale => crit!(log, "this disk is not the registered one, or lacks recorded entries: it must not lead"),
            Story::Sick => crit!(log, "this server cannot store any more: leaving to the other one"; "peer" => peer),
            Story::Stopped => info!(log, "stopping on request"),
        }
    }

    /// What the peer had stored by its last heartbeat beyond this journal; what it stored after that nobody here knows.
    fn said_beyond(&self) -> u64 {
        let board = &self.storage.board;
        board.peer_said().0.saturating_sub(board.stored().0)
    }
}

fn because(loss: Loss) -> &'static str {
    match loss {
        Loss::Dead => "its process has ended",
        Loss::Silent => "it is silent on every path",
        Loss::CannotAcknowledge => "it says that it cannot acknowledge",
        Loss::NotStoring => "it does not store",
    }
}
