//! A person's word that the other server is off.

use std::fmt;

use actix::{AsyncContext, Context, Handler, Message, ResponseFuture};
use tokio::sync::oneshot;

use super::FailoverCoordinator;
use crate::actors::fault;
use crate::clock;
use crate::config::limits;
use crate::machines::failover::{Event, State, WordRefused};
use crate::model::{Application, Epoch, UnixMs};

/// A person says that the server `off` is off, and that this one shall serve alone.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<Confirmed, NotConfirmed>")]
pub struct ConfirmAlone {
    pub off: String,
    /// The person knows that the other server has newer data, and that nobody sees them again unless it comes back by itself.
    pub accept_loss: bool,
}

/// This server serves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    pub epoch: Epoch,
}

/// Why everything is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotConfirmed {
    /// Not the other server's name.
    OtherName {
        peer: String,
    },
    /// Beside an arbiter that could be granting the same to the other server, a word is not taken: the two would part.
    ArbiterDecides,
    Refused {
        why: WordRefused,
        peer: String,
    },
    WouldLose {
        peer: String,
        since: Option<UnixMs>,
    },
}

impl fmt::Display for NotConfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherName { peer } => {
                write!(f, "the other server is {peer}: its name is asked for, so that nobody mistakes the box")
            }
            Self::ArbiterDecides => write!(
                f,
                "this pair has an arbiter that decides who serves alone: bring it back (a person's word counts where `arbiter.kind` is \
                 \"operator\")"
            ),
            Self::Refused { why: WordRefused::PeerHeard, peer } => write!(f, "{peer} is heard: it is not off"),
            Self::Refused { why: WordRefused::Serves, .. } => write!(f, "this server serves alone already"),
            Self::Refused { why: WordRefused::TooEarly, peer } => {
                write!(f, "it is not known yet whether {peer} is there: try again in a few seconds")
            }
            Self::Refused { why: WordRefused::Stopping, .. } => write!(f, "this server is stopping"),
            Self::WouldLose { peer, since } => write!(
                f,
                "{peer} has newer data{since}: what it accepted alone would be on its disk only and not be served again; start {peer}, or \
                 add --accept-loss",
                since = since.map_or(String::new(), |since| format!(", since {}", clock::date(since)))
            ),
        }
    }
}

impl std::error::Error for NotConfirmed {}

impl<A: Application> FailoverCoordinator<A> {
    fn confirm_alone(&mut self, order: &ConfirmAlone, ctx: &mut Context<Self>) -> Result<Confirmed, NotConfirmed> {
        let peer = self.name(self.machine.disk().server.peer()).to_owned();
        if order.off != peer {
            return Err(NotConfirmed::OtherName { peer });
        }
        if !self.settings.own_numbers {
            return Err(NotConfirmed::ArbiterDecides);
        }
        self.machine.takes_word().map_err(|why| NotConfirmed::Refused { why, peer: peer.clone() })?;
        if self.machine.state() == State::Rejoining && !order.accept_loss {
            return Err(NotConfirmed::WouldLose { peer, since: self.shown.view().newer_since() });
        }
        self.step(Event::PersonConfirms, ctx);
        Ok(Confirmed { epoch: self.machine.disk().held.0 })
    }
}

impl<A: Application> Handler<ConfirmAlone> for FailoverCoordinator<A> {
    type Result = ResponseFuture<Result<Confirmed, NotConfirmed>>;

    fn handle(&mut self, order: ConfirmAlone, ctx: &mut Context<Self>) -> Self::Result {
        fault::point("failover-coordinator/confirm-alone");
        let (told, answer) = oneshot::channel();
        let tell = move |coordinator: &mut Self, ctx: &mut Context<Self>| {
            // Whoever ordered it may have gone.
            let _ = told.send(coordinator.confirm_alone(&order, ctx));
        };
        // What the other one was granted runs out first, within a moment.
        match self.machine.takes_word() {
            Err(WordRefused::TooEarly) => drop(ctx.run_later(limits::WORD_PATIENCE, tell)),
            _ => tell(self, ctx),
        }
        Box::pin(async move {
            let stopping = NotConfirmed::Refused { why: WordRefused::Stopping, peer: String::new() };
            answer.await.unwrap_or(Err(stopping))
        })
    }
}
