//! From a line of text to DataUpdater: parse, the deliberately slow steps, permits.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Edge, Outlet};
use crate::actors::data_updater::WorkWaiting;
use crate::actors::{SessionNo, Work};
use crate::clock;
use crate::config::limits;
use crate::handover::{Permit, UnderWay};
use crate::journal::fingerprint;
use crate::model::application::PairCode;
use crate::model::{Application, CommandId};
use crate::store::{AppliedRows, Store};
use crate::wire::terminal;

/// What became of a line.
pub(super) enum Taken<C> {
    Work(Work<C>),
    /// It needs a deliberately slow step first (a password).
    Slow(String),
    /// Answered already.
    Refused(Option<CommandId>, PairCode),
}

/// Whose line it is.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub session: SessionNo,
    pub under_way: &'a Arc<UnderWay>,
}

impl<A: Application> Edge<A> {
    /// Reads one line; what is wrong with it is the answer.
    pub(super) fn take(&self, of: Of<'_>, line: &str) -> Taken<A::Command> {
        let envelope = match terminal::parse(line) {
            Ok(envelope) => envelope,
            Err(unreadable) => return Taken::Refused(unreadable.command_id, unreadable.why),
        };
        if self.app.is_slow(envelope.command) {
            return Taken::Slow(line.to_owned());
        }
        let (id, body) = (envelope.command_id, envelope.body);
        self.parsed(of, envelope, body).unwrap_or_else(|why| Taken::Refused(Some(id), why))
    }

    fn parsed(&self, of: Of<'_>, envelope: terminal::Envelope<'_>, body: &str) -> Result<Taken<A::Command>, PairCode> {
        let command = self.app.parse(envelope.command, body).map_err(PairCode::BadRequest)?;
        let admitted = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| PairCode::Busy)?;
        let permit = Permit::new(admitted, of.under_way);
        let fingerprint = fingerprint(&envelope.terminal_id, &envelope.command_id);
        let request = envelope.into_request(command);
        let session = of.session;
        Ok(Taken::Work(Work { session, request, fingerprint, arrived: clock::now(), came: Instant::now(), permit }))
    }

    /// The slow step runs on a thread of the blocking pool, a few at a time.
    pub(super) async fn take_slowly(&self, of: Of<'_>, line: &str) -> Taken<A::Command> {
        let envelope = match terminal::parse(line) {
            Ok(envelope) => envelope,
            Err(unreadable) => return Taken::Refused(unreadable.command_id, unreadable.why),
        };
        let id = envelope.command_id;
        // No queue: a client that waits for a turn longer than for an answer would come back and lengthen it.
        let Ok(turn) = Arc::clone(&self.slow).try_acquire_owned() else {
            return Taken::Refused(Some(id), PairCode::Busy);
        };
        let (app, name, body) = (self.app.clone(), envelope.command.to_owned(), envelope.body.to_owned());
        let (terminal, key, open) = (envelope.terminal_id.clone(), envelope.key.to_owned(), Arc::clone(&self.storage.open_store));
        let prepare = move || {
            let _turn = turn;
            // A stranger must not keep everybody else waiting.
            let may_prepare =
                |mut store: Box<dyn Store<A>>| app.may_prepare(&terminal, &key, &mut AppliedRows(store.as_mut())).ok();
            match open().ok().and_then(may_prepare) {
                Some(true) => app.prepare(&name, &body).map_err(PairCode::BadRequest),
                Some(false) => app.unprepared(&name, &body).map_err(PairCode::BadRequest),
                None => Err(PairCode::Busy),
            }
        };
        let prepared = tokio::task::spawn_blocking(prepare).await;
        let body = match prepared {
            Ok(Ok(body)) => body,
            Ok(Err(why)) => return Taken::Refused(Some(id), why),
            Err(_) => return Taken::Refused(Some(id), PairCode::Busy),
        };
        self.parsed(of, envelope, &body).unwrap_or_else(|why| Taken::Refused(Some(id), why))
    }

    pub(super) fn hand_over(&self, works: Vec<Work<A::Command>>) {
        if self.storage.intake.put(works) {
            self.updater.do_send(WorkWaiting);
        }
    }
}

/// A command that came over HTTP.
pub(super) async fn submit<A: Application>(edge: &Rc<Edge<A>>, line: &str) -> Vec<u8> {
    let (sender, answer) = oneshot::channel();
    let no = edge.enter(Outlet::Once(sender));
    let of = Of { session: no, under_way: &Arc::default() };
    let taken = match edge.take(of, line) {
        Taken::Slow(line) => edge.take_slowly(of, &line).await,
        taken => taken,
    };
    let refused = match taken {
        Taken::Work(work) => {
            let id = work.request.command_id;
            edge.hand_over(vec![work]);
            match timeout(limits::SUBMITTED_LIMIT, answer).await {
                Ok(Ok(line)) => return line,
                // Lost with a DataUpdater that was reborn, perhaps: the outcome is unknown.
                Ok(Err(_)) | Err(_) => (Some(id), PairCode::not_serving(edge.shown.mode())),
            }
        }
        Taken::Refused(id, why) => (id, why),
        Taken::Slow(_) => (None, PairCode::Busy),
    };
    edge.leave(no);
    let mut out = Vec::new();
    edge.refuse(&mut out, refused.0, refused.1);
    out
}
