//! Takes orders of this box's own user. Owned by no actor: who asks is answered whoever is reborn.

use std::io;
use std::path::{Path, PathBuf};

use actix::Recipient;
use actix_rt::Arbiter;
use slog::{Logger, info, warn};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::actors::failover_coordinator::{ConfirmAlone, SwitchOver};
use crate::config::limits;
use crate::wire::orders::{LINE_MAX, Order, Outcome};

/// Whoever carries an order out.
pub(super) struct Obeying {
    pub(super) switch_over: Recipient<SwitchOver>,
    pub(super) confirm_alone: Recipient<ConfirmAlone>,
}

/// A server that cannot take orders serves all the same.
pub(super) fn take(thread: &Arbiter, socket: PathBuf, obeying: Obeying, log: Logger) {
    thread.spawn_fn(move || {
        actix_rt::spawn(async move {
            let listener = match listen(&socket) {
                Ok(listener) => listener,
                Err(error) => {
                    warn!(log, "takes no orders"; "socket" => socket.display().to_string(), "reason" => error.to_string());
                    return;
                }
            };
            loop {
                match listener.accept().await {
                    // One after another: two orders at once would contradict each other.
                    Ok((stream, _)) => drop(timeout(limits::ORDER_LIMIT, obey(stream, &obeying, &log)).await),
                    Err(_) => tokio::time::sleep(limits::ACCEPT_PAUSE).await,
                }
            }
        });
    });
}

/// What a killed run left is in the way; this one holds the journal's lock.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(socket)
}

async fn obey(stream: UnixStream, obeying: &Obeying, log: &Logger) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LINE_MAX as u64)).read_line(&mut line).await?;
    let outcome = match serde_json::from_str(&line) {
        Ok(Order::SwitchOver) => {
            info!(log, "ordered to switch over");
            switched_over(&obeying.switch_over).await
        }
        Ok(Order::ConfirmAlone { off, accept_loss }) => {
            warn!(log, "asked to serve alone, because the other server is off"; "off" => &off, "accept_loss" => accept_loss);
            alone(&obeying.confirm_alone, ConfirmAlone { off, accept_loss }).await
        }
        Err(error) => Outcome::Refused { reason: format!("this is no order: {error}") },
    };
    if let Outcome::Refused { reason } = &outcome {
        info!(log, "the order was refused"; "reason" => reason);
    }
    let mut answer = serde_json::to_vec(&outcome)?;
    answer.push(b'\n');
    write.write_all(&answer).await
}

async fn switched_over(switch_over: &Recipient<SwitchOver>) -> Outcome {
    match switch_over.send(SwitchOver).await {
        Ok(Ok(switched)) => Outcome::SwitchedOver { epoch: switched.epoch.0, took_ms: switched.took_ms },
        Ok(Err(refused)) => Outcome::Refused { reason: refused.to_string() },
        Err(_) => Outcome::Refused { reason: "this server is stopping".into() },
    }
}

async fn alone(confirm_alone: &Recipient<ConfirmAlone>, order: ConfirmAlone) -> Outcome {
    match confirm_alone.send(order).await {
        Ok(Ok(confirmed)) => Outcome::Alone { epoch: confirmed.epoch.0 },
        Ok(Err(refused)) => Outcome::Refused { reason: refused.to_string() },
        Err(_) => Outcome::Refused { reason: "this server is stopping".into() },
    }
}
