//! One terminal's connection: lines in, answers out, bounded both ways.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::intake::{Of, Taken};
use super::{Edge, Outbox, Outlet};
use crate::actors::{SessionNo, fault};
use crate::config::limits;
use crate::machines::admission::{Admission, Load};
use crate::model::application::PairCode;
use crate::model::{Application, Bad};
use crate::wire::terminal::LineBuffer;
use crate::wire::tls::Stream;

/// A terminal that was switched off says no farewell; its session must not stay for ever.
fn keep_alive() -> TcpKeepalive {
    let (idle, probe) = (limits::TERMINAL_IDLE_PROBED, limits::TERMINAL_PROBE);
    TcpKeepalive::new().with_time(idle).with_interval(probe).with_retries(limits::TERMINAL_PROBES)
}

/// A connection that says nothing costs nothing, so it takes no turn from one that does.
async fn shake_hands(tcp: TcpStream, tls: Option<Arc<ServerConfig>>, turns: Arc<Semaphore>) -> Option<Stream> {
    if tls.is_none() {
        return Stream::accept(tcp, None).await.ok();
    }
    // Not `readable`, which may be true of a socket that has nothing to read.
    timeout(limits::HANDSHAKE_LIMIT, tcp.peek(&mut [0])).await.ok()?.ok()?;
    let _turn = turns.acquire_owned().await.ok()?;
    timeout(limits::HANDSHAKE_TURN, Stream::accept(tcp, tls)).await.ok()?.ok()
}

pub(super) struct Session<A: Application> {
    edge: Rc<Edge<A>>,
    alive: watch::Receiver<()>,
    outbox: Rc<Outbox>,
    no: SessionNo,
}

/// The connection is over.
enum Over {
    /// By the terminal: what it asked is still answered.
    Ended,
    /// With this actor's life: no answer will come any more.
    Abandoned,
    /// A line was refused: the terminal shall read why.
    Refused,
    /// It does not read: nothing more can be said.
    Deaf,
}

impl<A: Application> Drop for Session<A> {
    fn drop(&mut self) {
        self.edge.leave(self.no);
    }
}

impl<A: Application> Session<A> {
    pub(super) fn new(edge: Rc<Edge<A>>, alive: watch::Receiver<()>) -> Self {
        let outbox: Rc<Outbox> = Rc::default();
        let no = edge.enter(Outlet::Terminal(Rc::clone(&outbox)));
        Self { edge, alive, outbox, no }
    }

    pub(super) async fn serve(mut self, tcp: TcpStream, tls: Option<Arc<ServerConfig>>, handshakes: Arc<Semaphore>) {
        // A refusal means that the connection has ended already: the next read tells.
        let _ = SockRef::from(&tcp).set_tcp_keepalive(&keep_alive());
        let shaken = tokio::select! {
            _ = self.alive.changed() => return,
            shaken = shake_hands(tcp, tls, handshakes) => shaken,
        };
        let Some(stream) = shaken else { return };
        let (mut read, mut write) = tokio::io::split(stream);
        let mut lines = LineBuffer::default();
        // Whichever way it ends, the terminal sees a close and repeats what was not answered.
        let over = loop {
            if let Err(over) = self.turn(&mut read, &mut write, &mut lines).await {
                break over;
            }
        };
        let written = match over {
            Over::Deaf => return,
            Over::Abandoned => self.write_out(&mut write).await,
            Over::Ended | Over::Refused => self.answer_the_rest(&mut write).await,
        };
        if written.is_err() {
            return;
        }
        let _ = timeout(limits::WRITE_LIMIT, write.shutdown()).await;
        if matches!(over, Over::Refused) {
            // A close with unread bytes resets the connection, and a reset takes the answer along.
            let _ = timeout(limits::LINGER, tokio::io::copy(&mut read, &mut tokio::io::sink())).await;
        }
    }

    /// One round: write what is there, or read more, or hear that this life is over.
    async fn turn(
        &mut self,
        read: &mut ReadHalf<Stream>,
        write: &mut WriteHalf<Stream>,
        lines: &mut LineBuffer,
    ) -> Result<(), Over> {
        self.write_out(write).await?;
        let may_read = match self.edge.bounds.command(&self.load()) {
            Admission::Read => true,
            Admission::Wait => false,
            Admission::Close => return Err(Over::Deaf),
        };
        tokio::select! {
            _ = self.alive.changed() => Err(Over::Abandoned),
            () = self.outbox.under_way.news.notified() => Ok(()),
            result = read.read_buf(lines.room()), if may_read => match result {
                Ok(0) | Err(_) => Err(Over::Ended),
                Ok(_) => self.take_lines(lines).await,
            },
        }
    }

    fn of(&self) -> Of<'_> {
        Of { session: self.no, under_way: &self.outbox.under_way }
    }

    fn load(&self) -> Load {
        Load { sessions: 0, in_session: self.outbox.under_way.commands(), unread_bytes: self.outbox.bytes.borrow().len() }
    }

    async fn take_lines(&self, lines: &mut LineBuffer) -> Result<(), Over> {
        fault::point("command-acceptor/lines");
        let began = Instant::now();
        let mut works = Vec::new();
        let mut ended = Ok(());
        loop {
            let taken = match lines.next_line() {
                Ok(Some("")) => continue,
                Ok(Some(line)) => self.edge.take(self.of(), line),
                Ok(None) => break,
                Err(refusal) => {
                    let bad = Bad { field: "line".into(), reason: refusal.to_string() };
                    ended = Err(Over::Refused);
                    Taken::Refused(None, PairCode::BadRequest(bad))
                }
            };
            let taken = match taken {
                Taken::Slow(line) => self.edge.take_slowly(self.of(), &line).await,
                taken => taken,
            };
            match taken {
                Taken::Work(work) => works.push(work),
                Taken::Refused(id, why) => self.edge.refuse(&mut self.outbox.bytes.borrow_mut(), id, why),
                Taken::Slow(_) => {}
            }
            if ended.is_err() {
                break;
            }
        }
        if !works.is_empty() {
            self.edge.storage.metrics.steps.parse.observe(began.elapsed() / u32::try_from(works.len()).unwrap_or(u32::MAX));
            self.edge.hand_over(works);
        }
        ended
    }

    /// Commands that were read before the end, or before a bad line, have an outcome, which their terminal shall hear.
    async fn answer_the_rest(&self, write: &mut WriteHalf<Stream>) -> Result<(), Over> {
        let deadline = Instant::now() + limits::LAST_ANSWERS;
        loop {
            let under_way = self.outbox.under_way.commands();
            self.write_out(write).await?;
            if under_way == 0 {
                return Ok(());
            }
            // The gate's own limit comes first, unless a command was lost.
            let news = self.outbox.under_way.news.notified();
            timeout(deadline.saturating_duration_since(Instant::now()), news).await.map_err(|_| Over::Ended)?;
        }
    }

    async fn write_out(&self, write: &mut WriteHalf<Stream>) -> Result<(), Over> {
        loop {
            let bytes = std::mem::take(&mut *self.outbox.bytes.borrow_mut());
            if bytes.is_empty() {
                return Ok(());
            }
            let written = timeout(limits::WRITE_LIMIT, async {
                write.write_all(&bytes).await?;
                write.flush().await
            });
            match written.await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(Over::Deaf),
            }
        }
    }
}
