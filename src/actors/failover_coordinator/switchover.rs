//! A planned change of roles: who asked for it, what it waits for, and how it ended.

use std::collections::VecDeque;
use std::fmt;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{FailoverCoordinator, StopWanted};
use crate::actors::command_acceptor::Dismiss;
use crate::actors::data_updater::TakeCommands;
use crate::actors::fault;
use crate::clock;
use crate::config::limits;
use crate::machines::failover::{Effect, Event, State, Story};
use crate::model::{Application, Epoch, Moment, Role};

/// A person wants the other server to be Main. Answered when that is so, or will not be.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "Result<SwitchedOver, SwitchoverRefused>")]
pub struct SwitchOver;

/// The peer is Main.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchedOver {
    pub epoch: Epoch,
    /// From the order to the open stream of the new Main, milliseconds.
    pub took_ms: u64,
}

/// Why this server is Main as before, or was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchoverRefused {
    NotMain,
    /// Serving alone: there is nobody to give the role to.
    NoSub,
    ArbiterSilent,
    /// By its own word: members would have to wait for what ails it.
    SubIsIll,
    UnderWay,
    /// It began, and something came in between; the log says what.
    GivenUp,
}

impl fmt::Display for SwitchoverRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotMain => "this server is not main: only main gives its role away",
            Self::NoSub => "there is no sub in sync: nobody could take the role",
            Self::ArbiterSilent => "the arbiter does not answer: two servers that agree without it could not be told apart later",
            Self::SubIsIll => "the other server is ill (`duplex status` says what ails it): members would have to wait for it",
            Self::UnderWay => "a switchover is under way",
            Self::GivenUp => "it was given up, and main is who was main before, if it is well; the log says why",
        })
    }
}

impl std::error::Error for SwitchoverRefused {}

type Answer = Result<SwitchedOver, SwitchoverRefused>;

/// The switchover under way, if there is one.
#[derive(Default)]
pub(super) struct Wanted {
    by: Option<(oneshot::Sender<Answer>, Moment)>,
    /// Tells a timer of this attempt from that of an earlier one.
    attempts: u64,
    stop: Stop,
}

impl Wanted {
    /// Whoever asked is told that it was given up: a reborn coordinator knows nothing of it. That this server is to stop stays wanted.
    pub(super) fn forget_who_asked(&mut self) {
        self.by = None;
    }
}

/// Whether this server is to stop: a Main gives its role away first, if it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stop {
    #[default]
    NotWanted,
    /// As soon as the roles have changed, or will not.
    AfterSwitchover,
    Now,
}

impl<A: Application> FailoverCoordinator<A> {
    /// # Errors
    /// Why nothing can begin now.
    fn may_switch(&self) -> Result<(), SwitchoverRefused> {
        match self.machine.state() {
            State::Main if !self.shown.arbiter_answers(clock::now()) => Err(SwitchoverRefused::ArbiterSilent),
            State::Main if self.shown.view().peer_complaints.is_ill() => Err(SwitchoverRefused::SubIsIll),
            State::Main => Ok(()),
            State::Solo(_) => Err(SwitchoverRefused::NoSub),
            State::Switching(_) => Err(SwitchoverRefused::UnderWay),
            _ => Err(SwitchoverRefused::NotMain),
        }
    }

    pub(super) fn take_commands(&mut self, takes: bool, ctx: &mut Context<Self>) {
        self.neighbours.take_commands.do_send(TakeCommands(takes));
        if takes {
            return;
        }
        self.switchover.attempts += 1;
        let attempt = self.switchover.attempts;
        ctx.run_later(limits::SWITCHOVER_LIMIT, move |coordinator, ctx| {
            if coordinator.switchover.attempts == attempt {
                coordinator.step(Event::SwitchoverTooLong, ctx);
            }
        });
        self.look_later(attempt, ctx);
    }

    fn look_later(&mut self, attempt: u64, ctx: &mut Context<Self>) {
        ctx.run_later(limits::DRAIN_LOOK, move |coordinator, ctx| {
            let goes_on = matches!(coordinator.machine.state(), State::Switching(_));
            if goes_on && coordinator.switchover.attempts == attempt {
                coordinator.look_whether_drained(attempt, ctx);
            }
        });
    }

    fn look_whether_drained(&mut self, attempt: u64, ctx: &mut Context<Self>) {
        if self.storage.board.is_drained() {
            return self.step(Event::Drained, ctx);
        }
        self.look_later(attempt, ctx);
    }

    /// A Main with a Sub hands over first: the pause is a tenth of that after its death, and nobody has to find out.
    pub(super) fn stop(&mut self, ctx: &mut Context<Self>) {
        if self.switchover.stop == Stop::NotWanted && self.may_switch().is_ok() {
            self.switchover.stop = Stop::AfterSwitchover;
            ctx.run_later(limits::STOP_LIMIT, |coordinator, ctx| coordinator.stop_now(ctx));
            return self.step(Event::SwitchoverWanted, ctx);
        }
        self.stop_now(ctx);
    }

    fn stop_now(&mut self, ctx: &mut Context<Self>) {
        self.switchover.stop = Stop::Now;
        self.step(Event::StopWanted, ctx);
    }

    /// Called whenever the machine has come to rest.
    pub(super) fn stop_if_handed_over(&mut self, ctx: &mut Context<Self>) {
        let is_under_way = matches!(self.machine.state(), State::Switching(_) | State::Starting);
        if self.switchover.stop == Stop::AfterSwitchover && !is_under_way {
            self.switchover.stop = Stop::Now;
            ctx.notify(StopWanted);
        }
    }

    /// Clients hear the end of their connections while the address is still here.
    pub(super) fn dismiss(&mut self, rest: VecDeque<Effect>, ctx: &mut Context<Self>) {
        let dismissed = timeout(limits::DISMISS_LIMIT, self.neighbours.dismiss.send(Dismiss));
        ctx.wait(dismissed.into_actor(self).map(move |_, coordinator, ctx| coordinator.perform(rest, ctx)));
    }

    pub(super) fn tell_switchover(&mut self, story: Story) {
        let answer = |asked_at: Moment| match story {
            Story::Paired(Role::Sub, epoch) => Some(Ok(SwitchedOver { epoch, took_ms: clock::now().since(asked_at) })),
            Story::SwitchingOver | Story::HandedOver(_) => None,
            _ => Some(Err(SwitchoverRefused::GivenUp)),
        };
        let Some((by, asked_at)) = self.switchover.by.take() else { return };
        match answer(asked_at) {
            // Whoever asked may have gone.
            Some(answer) => drop(by.send(answer)),
            None => self.switchover.by = Some((by, asked_at)),
        }
    }
}

impl<A: Application> Handler<SwitchOver> for FailoverCoordinator<A> {
    type Result = ResponseFuture<Answer>;

    fn handle(&mut self, _: SwitchOver, ctx: &mut Context<Self>) -> Self::Result {
        fault::point("failover-coordinator/switch-over");
        if let Err(refused) = self.may_switch() {
            return Box::pin(async move { Err(refused) });
        }
        let (by, answer) = oneshot::channel();
        self.switchover.by = Some((by, clock::now()));
        self.step(Event::SwitchoverWanted, ctx);
        Box::pin(async move { answer.await.unwrap_or(Err(SwitchoverRefused::GivenUp)) })
    }
}
