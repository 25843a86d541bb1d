//! The life line: a connection to the peer that says nothing and is held from process start to exit, owned by no actor. The kernel
//! closes it when the peer's process ends, however it ends. Closed *and* a reconnect refused means that nobody is there any more:
//! dead. Any other end says only that the connection is gone.
//!
//! What could deceive it: a firewall that is told to answer with resets on both the old and the new connection. Do not filter the
//! peer link's port with REJECT while a pair runs.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::frames::LinkKind;
use super::link::{Connector, Link, Met, Route};
use super::refusal::LinkError;
use crate::model::BootNonce;

/// Pause between attempts in the background: ten a second cost nothing and find a restarted peer soon.
const RETRY: Duration = Duration::from_millis(100);
/// How long the question "dead or broken?" may stay open after a close. Refusals come within a round trip.
const VERDICT_LIMIT: Duration = Duration::from_millis(250);
/// A dying process closes its sockets one by one: for an instant its listener may still take a connection, only to reset it.
const DYING_PAUSE: Duration = Duration::from_millis(1);
/// Life lines of the peer held here: one, and some whose box went without a farewell until keep-alive ends them.
const KEPT_MAX: usize = 8;

static KEPT: Semaphore = Semaphore::const_new(KEPT_MAX);

/// What is known about the peer's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeNews {
    /// A life line stands, to this run of the peer.
    Connected { boot: BootNonce },
    /// The process that was connected has ended.
    Dead,
    /// The connection has ended; the process may live.
    Broken,
}

/// Holds a life line to the peer for ever and reports what becomes of it; silent until the first one stands. Runs on any tokio
/// runtime that lives as long as the process. Reconnects in the background for as long as it takes.
pub async fn hold(connector: Connector, route: Route, mut report: impl FnMut(LifeNews)) -> Infallible {
    let mut back = None;
    loop {
        let met = match back.take() {
            Some(met) => met,
            None => until_met(&connector, route).await,
        };
        report(LifeNews::Connected { boot: met.boot });
        let stands_since = Instant::now();
        met.link.ended().await;
        match verdict(&connector, route).await {
            Verdict::Dead => report(LifeNews::Dead),
            Verdict::Broken => report(LifeNews::Broken),
            Verdict::Back(met) => {
                report(LifeNews::Broken);
                // A peer that takes every line and drops it at once must not keep both boxes busy with handshakes.
                if stands_since.elapsed() < RETRY {
                    sleep(RETRY).await;
                }
                back = Some(*met);
            }
        }
    }
}

/// The other end of the peer's life line: holds it until it ends. Needs no owner; call it within the process's longest-lived runtime.
pub fn keep(link: Link) {
    let Ok(seat) = KEPT.try_acquire() else { return };
    tokio::spawn(async move {
        link.ended().await;
        drop(seat);
    });
}

async fn until_met(connector: &Connector, route: Route) -> Met {
    loop {
        match connector.connect(LinkKind::Life, route).await {
            Ok(met) => return met,
            // The stream's attempts fail for the same reason and are logged there; here it would be ten lines a second.
            Err(_) => sleep(RETRY).await,
        }
    }
}

enum Verdict {
    Dead,
    Broken,
    Back(Box<Met>),
}

async fn verdict(connector: &Connector, route: Route) -> Verdict {
    let deadline = Instant::now() + VERDICT_LIMIT;
    loop {
        match tokio::time::timeout_at(deadline, connector.connect(LinkKind::Life, route)).await {
            Ok(Ok(met)) => return Verdict::Back(Box::new(met)),
            Ok(Err(LinkError::Io(error))) if error.kind() == io::ErrorKind::ConnectionRefused => return Verdict::Dead,
            Ok(Err(error)) if was_reset(&error) => sleep(DYING_PAUSE).await,
            Ok(Err(_)) | Err(_) => return Verdict::Broken,
        }
    }
}

/// Taken by a listener that was closing.
fn was_reset(error: &LinkError) -> bool {
    let LinkError::Io(error) = error else { return matches!(error, LinkError::Closed) };
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe)
}
