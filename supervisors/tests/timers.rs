//! Timers set up again by a reborn actor tick after every kind of panic.

mod common;

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::prelude::*;
use common::{DEADLINE, group, own_thread, restarted, start, within};
use supervisors::{Child, Strategy, seat};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Handler,
    HandlerThatCancels,
    StreamHandler,
    Spawned,
    Waited,
    Interval,
    Later,
    Started,
    Restarting,
    Stopped,
}

/// A tick: which timer, which life set it up, and which life it ticks in.
#[derive(Debug, PartialEq, Eq)]
struct Tick {
    set_up_in: &'static str,
    by_life: u32,
    in_life: u32,
}

struct Clock {
    ticks: UnboundedSender<Tick>,
    life: u32,
    trap: Option<Kind>,
}

impl Clock {
    fn tick_from(&mut self, ctx: &mut Context<Self>, set_up_in: &'static str) {
        let by_life = self.life;
        ctx.run_interval(Duration::from_millis(1), move |clock, _| {
            let _ = clock.ticks.send(Tick { set_up_in, by_life, in_life: clock.life });
        });
    }

    fn pass(&mut self, kind: Kind) {
        if self.trap == Some(kind) {
            self.trap = None;
            panic!("in {kind:?}");
        }
    }
}

impl Actor for Clock {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.tick_from(ctx, "started");
        self.pass(Kind::Started);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.pass(Kind::Stopped);
    }
}

impl Supervised for Clock {
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        self.life += 1;
        self.tick_from(ctx, "restarting");
        self.pass(Kind::Restarting);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Break(Kind);

impl Handler<Break> for Clock {
    type Result = ();

    fn handle(&mut self, Break(kind): Break, ctx: &mut Context<Self>) {
        let soon = Duration::from_millis(1);
        self.trap = Some(kind);
        match kind {
            Kind::Handler => self.pass(kind),
            Kind::HandlerThatCancels => {
                // What these numbers name in this life does not matter: they must not reach the
                // next.
                let mut handle = SpawnHandle::default();
                for _ in 0..16 {
                    handle = handle.next();
                    ctx.cancel_future(handle);
                }
                self.pass(kind);
            }
            Kind::StreamHandler => drop(ctx.add_stream(Once(Some(kind)))),
            Kind::Spawned => drop(ctx.spawn(async {}.into_actor(self).map(move |(), clock, _| clock.pass(kind)))),
            Kind::Waited => ctx.wait(async {}.into_actor(self).map(move |(), clock, _| clock.pass(kind))),
            Kind::Interval => drop(ctx.run_interval(soon, move |clock, _| clock.pass(kind))),
            Kind::Later => drop(ctx.run_later(soon, move |clock, _| clock.pass(kind))),
            Kind::Started | Kind::Restarting => panic!("so that the rebirth fails next"),
            Kind::Stopped => ctx.stop(),
        }
    }
}

impl StreamHandler<Kind> for Clock {
    fn handle(&mut self, kind: Kind, _: &mut Context<Self>) {
        self.pass(kind);
    }
}

/// A stream of one item.
struct Once(Option<Kind>);

impl futures_core::Stream for Once {
    type Item = Kind;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<Kind>> {
        Poll::Ready(self.0.take())
    }
}

async fn tick_of(ticks: &mut UnboundedReceiver<Tick>, set_up_in: &'static str, life: u32) {
    loop {
        let tick = within(ticks.recv()).await.expect("the clock lives");
        assert_eq!(tick.by_life, tick.in_life, "no timer survives the life that set it up");
        if tick.set_up_in == set_up_in && tick.in_life == life {
            return;
        }
    }
}

#[actix::test]
async fn timers_set_up_again_tick_after_every_kind_of_panic() {
    let once = [
        Kind::Handler,
        Kind::HandlerThatCancels,
        Kind::StreamHandler,
        Kind::Spawned,
        Kind::Waited,
        Kind::Interval,
        Kind::Later,
        Kind::Stopped,
    ];
    let twice = [Kind::Started, Kind::Restarting];
    let lives = once.map(|kind| (kind, 1)).into_iter().chain(twice.map(|kind| (kind, 2)));
    for (kind, life) in lives {
        let (address, place) = seat::<Clock>(16);
        let (sender, mut ticks) = unbounded_channel();
        let build = move || Clock { ticks: sender.clone(), life: 0, trap: None };
        let tree = start(group("root", Strategy::OneForOne).actor(Child::new("clock", place, own_thread(), build)));
        tick_of(&mut ticks, "started", 0).await;
        address.do_send(Break(kind));
        for _ in 0..3 {
            tick_of(&mut ticks, "restarting", life).await;
            tick_of(&mut ticks, "started", life).await;
        }
        let report = restarted(&tree, u64::from(life)).await;
        let exit = report.children[0].last_exit.clone().expect("it panicked");
        assert!(exit.text.ends_with(&format!("in {kind:?}")), "{kind:?}: {}", exit.text);
        assert!(within(tree.stop(DEADLINE)).await.left_behind.is_empty());
    }
}
