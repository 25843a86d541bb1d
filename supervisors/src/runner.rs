//! One supervised actor on its arbiter: lives, rests, is reborn and leaves as ordered, and tells
//! what becomes of it.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::{Context as TaskContext, Poll};

use actix::dev::channel::{AddressReceiver, channel};
use actix::dev::{AsyncContextParts, ContextFut, ContextParts, EnvelopeProxy};
use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Supervised};
use actix_rt::ArbiterHandle;
use futures_core::Stream;

use crate::decide::{End, Event, Order};
use crate::link::Link;
use crate::outline::ActorId;
use crate::panics::{Panic, guarded};
use crate::seat::Seat;

/// The way back to the supervising thread. Dropped, wherever that happens, it says that the actor
/// has left.
pub(crate) struct Post {
    pub(crate) actor: ActorId,
    pub(crate) events: Sender<Event>,
    pub(crate) link: Arc<Link>,
    /// A panic on the way out.
    pub(crate) last_words: Option<String>,
}

impl Post {
    fn tell(&self, event: Event) {
        // Nobody listens any more once the tree has stopped.
        let _ = self.events.send(event);
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let last_words = self.last_words.take();
        self.tell(Event::Left { actor: self.actor, last_words });
    }
}

pub(crate) fn launch<A>(post: Post, seat: Seat<A>, arbiter: &ArbiterHandle, build: impl FnMut() -> A + Send + 'static)
where
    A: Actor<Context = Context<A>> + Supervised,
{
    // On an arbiter that has stopped the closure is dropped, and `Post` with it: that is the
    // answer.
    arbiter.spawn_fn(move || {
        actix_rt::spawn(Runner {
            actor: None,
            build: Box::new(build),
            queue: Rc::new(RefCell::new(seat.receiver)),
            life: 0,
            held: 0,
            alive: false,
            stop_asked: false,
            settled: false,
            post,
        });
    });
}

/// Field order matters: `post` is dropped last, after the actor.
struct Runner<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    actor: Option<Housed<A>>,
    build: Box<dyn FnMut() -> A>,
    queue: Queue<A>,
    life: u64,
    /// The newest life whose rest was confirmed.
    held: u64,
    /// This life has not gone down.
    alive: bool,
    /// The actor was asked to stop.
    stop_asked: bool,
    /// This life was told of as started.
    settled: bool,
    post: Post,
}

/// The actor's messages. They stay with the runner, not in the actor's context, whatever happens to
/// that.
type Queue<A> = Rc<RefCell<AddressReceiver<A>>>;

/// An actor and its context, whose own mailbox is never used; `_connected` keeps actix from taking
/// it for abandoned.
struct Housed<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    context: ContextFut<A, Context<A>>,
    _connected: Addr<A>,
}

impl<A> Future for Runner<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        match this.post.link.order(cx.waker()) {
            Order::Hold { life } => this.hold(life),
            Order::Run { life } => this.run(life, cx),
            Order::Stop => return this.stop(cx),
            Order::Leave => return Poll::Ready(()),
        }
        Poll::Pending
    }
}

impl<A> Runner<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    fn hold(&mut self, life: u64) {
        if life > self.held {
            self.held = life;
            self.post.tell(Event::Held { actor: self.post.actor, life });
        }
    }

    fn run(&mut self, life: u64, cx: &mut TaskContext<'_>) {
        if life > self.life {
            (self.life, self.settled) = (life, false);
            match self.work(Self::bear) {
                Ok(()) => self.alive = true,
                Err(panic) => return self.went_down(End::Panicked(panic.to_string())),
            }
        }
        if !self.alive {
            return;
        }
        match self.work(|this| this.poll_actor(cx)) {
            Ok(Poll::Pending) if self.settled => {}
            Ok(Poll::Pending) => {
                self.settled = true;
                self.post.tell(Event::Started { actor: self.post.actor, life });
            }
            Ok(Poll::Ready(())) => self.went_down(End::ByItself),
            Err(panic) => self.went_down(End::Panicked(panic.to_string())),
        }
    }

    /// Stop the actor by its own `stopping` and `stopped`, unless a panic has left it broken. One
    /// that answers
    /// `Running::Continue` goes on until it stops itself, or the deadline comes.
    fn stop(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        if !self.alive {
            return Poll::Ready(());
        }
        let ask = !std::mem::replace(&mut self.stop_asked, true);
        let outcome = self.work(|this| {
            if let Some(housed) = this.actor.as_mut().filter(|_| ask) {
                housed.context.ctx().stop();
            }
            this.poll_actor(cx)
        });
        outcome.unwrap_or_else(|panic| {
            self.post.last_words = Some(panic.to_string());
            Poll::Ready(())
        })
    }

    fn went_down(&mut self, end: End) {
        self.alive = false;
        self.post.tell(Event::Exited { actor: self.post.actor, life: self.life, end });
    }

    /// Build the actor, or let it be reborn where it is.
    fn bear(&mut self) {
        if let Some(Housed { context, .. }) = &mut self.actor {
            // A new set of parts, because cancellations that the old one still owed would hit the
            // reborn actor's timers.
            *context.ctx().parts() = ContextParts::new(self.queue.borrow().sender_producer());
            context.restart();
        } else {
            self.actor = Some(self.house());
        }
        let mail = Mail { queue: Rc::clone(&self.queue), link: Arc::clone(&self.post.link) };
        if let Some(Housed { context, .. }) = &mut self.actor {
            context.ctx().spawn(mail);
        }
    }

    fn house(&mut self) -> Housed<A> {
        let actor = (self.build)();
        let (connected, unused) = channel(0);
        let mut context = Context::with_receiver(unused);
        *context.parts() = ContextParts::new(self.queue.borrow().sender_producer());
        Housed { context: context.into_future(actor), _connected: Addr::new(connected) }
    }

    fn poll_actor(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        match &mut self.actor {
            Some(housed) => Pin::new(&mut housed.context).poll(cx),
            None => Poll::Ready(()),
        }
    }

    /// Do what runs the actor's own code: seen by the watch, and panics caught.
    fn work<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T, Panic> {
        let link = Arc::clone(&self.post.link);
        link.turn();
        let outcome = guarded(|| work(self));
        link.turn();
        outcome
    }
}

impl<A> Drop for Runner<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    fn drop(&mut self) {
        let Some(mut housed) = self.actor.take() else {
            return;
        };
        // A terminated context runs no more of the actor's code when it is dropped, except the
        // actor's own `Drop`.
        housed.context.ctx().terminate();
        if let Err(panic) = self.work(|_| drop(housed)) {
            self.post.last_words = Some(panic.to_string());
        }
    }
}

/// Hands the queue's messages to the actor, as a future of its context. Like a mailbox it stands
/// still while the context waits for a future.
struct Mail<A: Actor> {
    queue: Queue<A>,
    link: Arc<Link>,
}

/// Messages handled before others on the same arbiter get their turn. tokio's own budget for one
/// task is 128 operations.
const MESSAGES_PER_TURN: usize = 128;

impl<A> ActorFuture<A> for Mail<A>
where
    A: Actor<Context = Context<A>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, actor: &mut A, ctx: &mut Context<A>, cx: &mut TaskContext<'_>) -> Poll<()> {
        for _ in 0..MESSAGES_PER_TURN {
            if ctx.waiting() {
                // The context polls this again when it has waited.
                return Poll::Pending;
            }
            let next = Pin::new(&mut *self.queue.borrow_mut()).poll_next(cx);
            let Poll::Ready(Some(mut message)) = next else {
                return Poll::Pending;
            };
            message.handle(actor, ctx);
            self.link.proceed();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
