//! The supervising thread, and the handle to a running tree.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fmt, io, thread};

use serde::Serialize;
use tokio::sync::watch;

use crate::decide::{Effect, Event, Machine, Moment};
use crate::link::Link;
use crate::panics;
use crate::report::{Ended, Escalation, Report, Stopped};
use crate::runner::Post;
use crate::spec::Plan;
use crate::watch::{Finding, Watch};

/// One poll of a child lasts longer than its hang limit. It may never end, and its thread cannot be
/// taken back: withdraw and leave the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hang {
    /// Path of the actor below the root.
    pub child: String,
    /// How long the poll had lasted when it was seen.
    pub lasted: Duration,
}

/// A running tree. Clones are the same tree; dropping them all does not stop it.
#[derive(Clone)]
pub struct Tree {
    status: watch::Receiver<Status>,
    events: Sender<Event>,
}

/// What the supervising thread publishes.
#[derive(Debug, Clone)]
struct Status {
    report: Report,
    ended: Option<Ended>,
    stopped: Option<Stopped>,
}

impl Tree {
    /// The tree as of now; readable from any thread, and never waits for an actor.
    pub fn report(&self) -> Report {
        self.status.borrow().report.clone()
    }

    /// Wait until the tree has ended: given up, or stopped. The program decides what follows.
    pub async fn wait(&self) -> Ended {
        let mut status = self.status.clone();
        let ended = status.wait_for(|status| status.ended.is_some()).await.ok().and_then(|status| status.ended.clone());
        ended.unwrap_or_else(|| self.unsupervised())
    }

    /// Wait until the report meets the condition, which must be quick: the tree waits for it.
    /// Returns the last report if the tree stops before.
    pub async fn until(&self, mut condition: impl FnMut(&Report) -> bool) -> Report {
        let mut status = self.status.clone();
        let met = status.wait_for(|status| condition(&status.report)).await.map(|status| status.report.clone());
        met.unwrap_or_else(|_| self.report())
    }

    /// Stop the children one after another, the last first, each by its own `stopping` and
    /// `stopped`; those that have panicked last are dropped without these. After `within` the rest
    /// is left behind. Works after an escalation, too.
    pub async fn stop(&self, within: Duration) -> Stopped {
        // The thread ends only after it has published what is waited for here.
        let _ = self.events.send(Event::Stop { within });
        let mut status = self.status.clone();
        let stopped = status.wait_for(|status| status.stopped.is_some()).await;
        let stopped = stopped.ok().and_then(|status| status.stopped.clone());
        stopped.unwrap_or_else(|| {
            let all = self.report().children.into_iter().map(|child| child.name);
            Stopped { left_behind: all.collect() }
        })
    }

    /// The supervising thread itself has panicked: a defect of this crate, told like any failure
    /// that nobody can mend.
    fn unsupervised(&self) -> Ended {
        let report = self.report();
        let cause = "the supervising thread has panicked".to_owned();
        Ended::Escalated(Box::new(Escalation { child: String::new(), cause, failures: Vec::new(), report }))
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("report", &self.status.borrow().report).finish_non_exhaustive()
    }
}

pub(crate) fn start(plan: Plan, on_hang: Box<dyn FnMut(Hang) + Send>) -> io::Result<Tree> {
    panics::listen();
    let Plan { outline, launches, hang_limits } = plan;
    let (sender, events) = mpsc::channel();
    let names = outline.actors.iter().map(|actor| actor.path.clone()).collect();
    let links: Vec<_> = launches.iter().map(|_| Arc::new(Link::new())).collect();
    let start = Instant::now();
    let machine = Machine::new(outline, moment(start));
    let (publish, status) = watch::channel(Status { report: machine.report(), ended: None, stopped: None });
    let overseer = Overseer {
        start,
        machine,
        events,
        links: links.clone(),
        names,
        watch: Watch::new(hang_limits),
        last_look: start,
        on_hang,
        publish,
    };
    thread::Builder::new().name("supervisor".to_owned()).spawn(move || overseer.run())?;
    for (actor, (launch, link)) in launches.into_iter().zip(links).enumerate() {
        launch(Post { actor, events: sender.clone(), link, last_words: None });
    }
    Ok(Tree { status, events: sender })
}

fn moment(start: Instant) -> Moment {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { elapsed: start.elapsed(), unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
}

/// Lives on the supervising thread: translates between the deciding machine and the world.
struct Overseer {
    start: Instant,
    machine: Machine,
    events: Receiver<Event>,
    links: Vec<Arc<Link>>,
    names: Vec<String>,
    watch: Watch,
    last_look: Instant,
    on_hang: Box<dyn FnMut(Hang) + Send>,
    publish: watch::Sender<Status>,
}

impl Overseer {
    fn run(mut self) {
        // The first step starts whoever starts first.
        self.step(Event::Tick);
        while !self.machine.is_stopped() {
            match self.events.recv_timeout(self.patience()) {
                Ok(event) => self.step(event),
                Err(RecvTimeoutError::Timeout) => self.step(Event::Tick),
                // All runners have left and all handles are gone: nobody can ask for anything any
                // more.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look();
        }
    }

    /// Until the next decision or the next look, whichever is earlier.
    fn patience(&self) -> Duration {
        let period = self.watch.period();
        let due = self.machine.due().map(|due| due.saturating_sub(self.start.elapsed()));
        due.map_or(period, |due| due.min(period))
    }

    fn step(&mut self, event: Event) {
        let tick = event == Event::Tick;
        let effects = self.machine.step(moment(self.start), event);
        if tick && effects.is_empty() {
            return;
        }
        let mut ends = Vec::new();
        for effect in effects {
            match effect {
                Effect::Order(actor, order) => self.links[actor].give(order),
                Effect::End(end) => ends.push(end),
            }
        }
        let report = self.machine.report();
        self.publish.send_modify(|status| {
            status.report = report;
            for end in ends {
                if let Ended::Stopped(stopped) = &end {
                    status.stopped = Some(stopped.clone());
                }
                status.ended.get_or_insert(end);
            }
        });
    }

    fn look(&mut self) {
        let now = Instant::now();
        let passed = now - self.last_look;
        self.last_look = now;
        for finding in self.watch.look(passed, self.links.iter().map(|link| link.progress())) {
            match finding {
                Finding::Hung { actor, lasted } => {
                    self.step(Event::Hung { actor });
                    let hang = Hang { child: self.names[actor].clone(), lasted };
                    // A panic in it must not end the supervision; the panic hook has told of it.
                    let _ = panics::guarded(|| (self.on_hang)(hang));
                }
                Finding::Moves { actor } => self.step(Event::Moves { actor }),
            }
        }
    }
}
