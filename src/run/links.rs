//! The peer's links, owned by no actor: whoever dies and is reborn, a connection that stands keeps standing.

use std::sync::Arc;

use actix_rt::Arbiter;
use slog::{Logger, crit, warn};

use super::open::Listen;
use crate::actors::replication_receiver::Incoming;
use crate::actors::state_monitor::LifeTold;
use crate::telemetry::metrics::Metrics;
use crate::wire::frames::LinkKind;
use crate::wire::life;
use crate::wire::link::{Connector, Route};

/// A life line stands from process start to exit.
pub(super) fn take(thread: &Arbiter, listen: Listen, receiver: actix::Recipient<Incoming>, metrics: Arc<Metrics>, log: Logger) {
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
            let mut last_told = String::new();
            loop {
                match listener.accept().await {
                    Ok(accepted) if accepted.kind == LinkKind::Life => life::keep(accepted.link),
                    Ok(accepted) => receiver.do_send(Incoming(accepted)),
                    Err(refused) => {
                        metrics.refused_frame(refused.why.code());
                        let text = names.put_into(&refused.to_string());
                        // A stranger may knock ten times a second; one line says it.
                        if text != last_told {
                            warn!(log, "refused a link"; "code" => refused.why.code(), "reason" => &text);
                            last_told = text;
                        }
                    }
                }
            }
        });
    });
}

pub(super) fn hold_life_line(thread: &Arbiter, connector: Connector, route: Route, monitor: actix::Recipient<LifeTold>) {
    thread.spawn_fn(move || {
        actix_rt::spawn(async move { life::hold(connector, route, move |news| monitor.do_send(LifeTold(news))).await });
    });
}
