//! The peer's links, owned by no actor: whoever dies and is reborn, a connection that stands keeps standing.

use std::sync::Arc;

use actix_rt::Arbiter;
use slog::{Logger, crit, warn};
use tokio::time::Instant;

use super::open::Listen;
use crate::actors::replication_receiver::Incoming;
use crate::actors::state_monitor::LifeTold;
use crate::clock;
use crate::handover::Failures;
use crate::telemetry::metrics::Metrics;
use crate::wire::frames::LinkKind;
use crate::wire::knocks::Knocks;
use crate::wire::life;
use crate::wire::link::{Connector, Route};
use crate::wire::listener::Refused;
use crate::wire::names::ServerNames;

/// A life line stands from process start to exit.
pub(super) fn take(
    thread: &Arbiter,
    listen: Listen,
    receiver: actix::Recipient<Incoming>,
    (metrics, failures): (Arc<Metrics>, Arc<Failures>),
    log: Logger,
) {
    thread.spawn_fn(move || {
        actix_rt::spawn(async move {
            let names = listen.names.clone();
            let mut listener = match listen.start() {
                Ok(listener) => listener,
                Err(error) => {
                    crit!(log, "cannot listen for the peer"; "reason" => error.to_string());
                    return;
                }
            };
            let mut knocks = Knocks::default();
            loop {
                match listener.accept().await {
                    Ok(accepted) if accepted.kind == LinkKind::Life => life::keep(accepted.link),
                    Ok(accepted) => receiver.do_send(Incoming(accepted)),
                    Err(refused) => {
                        metrics.refused_frame(refused.why.code());
                        failures.note(refused.why.code(), clock::unix_now());
                        tell(&refused, &mut knocks, &names, &log);
                    }
                }
            }
        });
    });
}

fn tell(refused: &Refused, knocks: &mut Knocks, names: &ServerNames, log: &Logger) {
    let code = refused.why.code();
    // Nobody's knock: it must not be left out because of one.
    let reason = if refused.from.is_some() { code } else { "accept" };
    if let Some(left_out) = knocks.tell(reason, Instant::now()) {
        warn!(log, "refused a link"; "code" => code, "reason" => names.put_into(&refused.to_string()), "left_out" => left_out);
    }
}

pub(super) fn hold_life_line(thread: &Arbiter, connector: Connector, route: Route, monitor: actix::Recipient<LifeTold>) {
    thread.spawn_fn(move || {
        actix_rt::spawn(async move { life::hold(connector, route, move |news| monitor.do_send(LifeTold(news))).await });
    });
}
