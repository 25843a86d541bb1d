//! What the coordinator asks the arbiter, one question at a time, and what it makes of the answers.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use slog::{info, warn};

use super::FailoverCoordinator;
use crate::actors::fault;
use crate::arbiter::{ArbiterError, Asker, CasOutcome};
use crate::clock;
use crate::config::limits;
use crate::machines::failover::{Event, State};
use crate::model::{Application, DataId, Holder, Position, Register};

impl<A: Application> FailoverCoordinator<A> {
    fn asker(&self) -> Asker {
        let disk = self.machine.disk();
        // An epoch that a person named is none that the arbiter forgot.
        let held = disk.word.map_or(disk.held.0, |(granted, _)| granted);
        Asker { server: disk.server, data_id: disk.data_id, held }
    }

    pub(super) fn ask(&mut self, expected: Register, new: Register, ctx: &mut Context<Self>) {
        if self.storage.board.disk_hangs() {
            // The retry asks again; until then the other server is the better one.
            return;
        }
        let (arbiter, asker) = (Arc::clone(&self.settings.arbiter), self.asker());
        self.asks_under_way += 1;
        // A server that serves by a person's word asks for nothing else until the register says so.
        let by_word = self.machine.disk().word.is_some();
        let asking = async move {
            match by_word {
                true => arbiter.overrule(asker, &expected, &new, limits::ASK_LIMIT).await,
                false => arbiter.compare_and_set(asker, &expected, &new, limits::ASK_LIMIT).await,
            }
        };
        ctx.spawn(asking.into_actor(self).map(move |outcome, coordinator, ctx| {
            fault::point("failover-coordinator/answered");
            let event = match coordinator.heard(outcome) {
                Some(CasOutcome::Landed(register)) => Event::Landed(register),
                Some(CasOutcome::Differs(register)) => Event::Differs(register),
                None => Event::NoAnswer,
            };
            coordinator.step_if_of_now(asker, event, ctx);
        }));
    }

    pub(super) fn read_register(&mut self, ctx: &mut Context<Self>) {
        if self.asks_under_way > 0 {
            // Its answer tells the register, or the retry reads it.
            return;
        }
        if self.machine.disk().word.is_some() {
            return self.look_over_a_word(ctx);
        }
        let (arbiter, asker) = (Arc::clone(&self.settings.arbiter), self.asker());
        let first = self.settings.first_register.clone();
        self.asks_under_way += 1;
        let reading = async move {
            match arbiter.read(asker, limits::ASK_LIMIT).await? {
                Some(register) => Ok(register),
                None => match arbiter.introduce(asker, &first, limits::ASK_LIMIT).await? {
                    CasOutcome::Landed(register) | CasOutcome::Differs(register) => Ok(register),
                },
            }
        };
        ctx.spawn(reading.into_actor(self).map(move |read, coordinator, ctx| {
            if let Some(register) = coordinator.heard(read) {
                coordinator.step_if_of_now(asker, Event::Register(register), ctx);
            }
        }));
    }

    /// A server that serves by a person's word is told the register also by an arbiter that grants nothing now: nothing is what it
    /// offers to replace.
    fn look_over_a_word(&mut self, ctx: &mut Context<Self>) {
        let (epoch, holder) = self.machine.disk().held;
        let nothing = Register { epoch, holder, data_ids: [DataId::default(); 2], recorded: Position::GENESIS };
        self.ask(nothing, nothing, ctx);
    }

    /// An answer may be older than what this disk holds by now: it is no register that went back in time. Another look tells.
    fn step_if_of_now(&mut self, asker: Asker, answer: Event, ctx: &mut Context<Self>) {
        if self.asker().held > asker.held { self.read_register(ctx) } else { self.step(answer, ctx) }
    }

    /// A stale server is asked by people since when the other one has newer data; the arbiter may have noted it.
    pub(super) fn ask_since_when(&mut self, ctx: &mut Context<Self>) {
        let me = self.machine.disk().server;
        let Some(register) = self.machine.register().filter(|register| register.holder == Holder::Solo { server: me.peer() })
        else {
            return;
        };
        let epoch = register.epoch;
        if self.machine.state() != State::Rejoining || self.dated == Some(epoch) {
            return;
        }
        self.dated = Some(epoch);
        let arbiter = Arc::clone(&self.settings.arbiter);
        let asking = async move { arbiter.since(limits::ASK_LIMIT).await };
        ctx.spawn(asking.into_actor(self).map(move |answer, coordinator, _| match answer {
            Ok(Some(since)) => {
                coordinator.shown.update(|view| view.register_since = Some((epoch, since)));
                let peer = coordinator.name(me.peer());
                let since = clock::date(since);
                warn!(coordinator.log, "the other server serves alone, and has newer data since"; "peer" => peer, "since" => since, "epoch" => epoch.0);
            }
            Ok(None) => {}
            // Asked again with the next look at the register.
            Err(_) => coordinator.dated = None,
        }));
    }

    /// Books an answer of the arbiter, or its absence.
    fn heard<T>(&mut self, answer: Result<T, ArbiterError>) -> Option<T> {
        self.asks_under_way = self.asks_under_way.saturating_sub(1);
        let error = answer.as_ref().err().map(ToString::to_string);
        if error.is_none() {
            self.arbiter_heard = Some(clock::now());
        }
        let heard = self.arbiter_heard;
        let silent = self.shown.view().arbiter_error;
        match (&silent, &error) {
            (None, Some(reason)) => {
                warn!(self.log, "the arbiter does not help: nobody could take over now"; "reason" => reason);
            }
            (Some(_), None) => info!(self.log, "the arbiter answers again"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let refuses = matches!(answer, Err(ArbiterError::Refused(_)));
        self.shown.update(|view| (view.arbiter_heard, view.arbiter_error, view.arbiter_refuses) = (heard, error, refuses));
        answer.ok()
    }

    pub(super) fn arbiter_is_fresh(&self) -> bool {
        self.arbiter_heard.is_some_and(|heard| clock::now().since(heard) <= limits::ARBITER_FRESH_MS)
    }
}
