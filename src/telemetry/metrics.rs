//! The numbers that duplex exports at `/metrics` (OpenMetrics text).
//!
//! Everything is a handle resolved beforehand: updating costs an atomic addition (a histogram: one uncontended lock), tens of
//! nanoseconds. Hot paths observe once a batch. Labels are looked up only where something rare is counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::model::{Epoch, Mode, Role, Status};

/// A gauge of something counted from 0.
pub type Number = Gauge<u64, AtomicU64>;
/// A gauge of something that may be unknown: NaN then.
pub type Known = Gauge<f64, AtomicU64>;

/// Counts under this name whatever has no name of its own, so that nobody outside can make series.
const OTHER: &str = "other";
const ROLES: [(Role, &str); 3] = [(Role::Main, "main"), (Role::Sub, "sub"), (Role::None, "none")];
const MODES: [(Mode, &str); 5] = [
    (Mode::Starting, "starting"),
    (Mode::Pair, "pair"),
    (Mode::Solo, "solo"),
    (Mode::Rejoining, "rejoining"),
    (Mode::Suspended, "suspended"),
];

/// Names and values of labels. The values are words of ours, never what somebody sent.
type Labels<const N: usize> = [(&'static str, String); N];

/// Answers to one command.
#[derive(Clone, Debug, Default)]
struct Answers {
    ok: Counter,
    rejected: Counter,
    retry: Counter,
}

/// What one command spends its time on, in the order of its way.
#[derive(Clone, Debug)]
pub struct Steps {
    pub parse: Micros,
    /// Admitted, and waiting for DataUpdater.
    pub queue: Micros,
    pub execute: Micros,
    /// One write of a batch to the journal's file.
    pub journal_write: Micros,
    pub fdatasync: Micros,
    /// From sending a batch to the peer until it is stored there.
    pub peer_stored: Micros,
    /// One transaction that writes a batch to the store.
    pub applied: Micros,
}

/// Entries in a batch.
#[derive(Clone, Debug)]
pub struct Batches {
    pub execute: Histogram,
    pub journal: Histogram,
    pub ship: Histogram,
    pub apply: Histogram,
}

/// How far this server is: sequence numbers.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    pub executed: Number,
    pub stored: Number,
    pub peer_stored: Number,
    pub confirmed: Number,
    pub applied: Number,
}

/// A histogram of microseconds.
#[derive(Clone, Debug)]
pub struct Micros(Histogram);

impl Micros {
    pub fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64() * 1e6);
    }
}

/// What goes between the two servers beside the stream.
pub struct Heartbeats {
    pub sent: Counter,
    pub heard: Counter,
    refused: Family<Labels<1>, Counter>,
    pub silent_paths: Number,
}

impl Heartbeats {
    /// `code` as [`crate::wire::heartbeat::BeatRefusal`] names it.
    pub fn refused(&self, code: &'static str) {
        self.refused.get_or_create(&[("code", code.to_owned())]).inc();
    }
}

/// Every number of one server. Shared: all clones of the `Arc` count into the same.
pub struct Metrics {
    registry: Registry,
    commands: HashMap<String, Answers>,
    other_commands: Answers,
    restarts: HashMap<String, Counter>,
    other_restarts: Counter,
    refused_frames: Family<Labels<1>, Counter>,
    roles: [Number; ROLES.len()],
    modes: [Number; MODES.len()],
    epoch: Number,
    /// From the arrival of a command's line to its answer's leaving.
    pub answer_latency: Micros,
    pub steps: Steps,
    pub batches: Batches,
    pub positions: Positions,
    /// Entries that Main has committed and this server's store has not.
    pub lag_entries: Number,
    /// Age in milliseconds of the oldest of these; 0 if there are none.
    pub lag_ms: Number,
    /// Age in milliseconds of the oldest entry stored here that the peer has not told to have stored.
    pub peer_lag_ms: Known,
    /// From Main's commit until the entry is visible on Sub.
    pub visible_after: Micros,
    pub heartbeats: Heartbeats,
    pub takeovers: Counter,
}

impl Metrics {
    /// `commands`, `actors` and `refusals` are all names that may be counted by; `lines_lost` is the logs' own counter.
    pub fn new(
        commands: &[&str],
        actors: &[&str],
        refusals: impl IntoIterator<Item = &'static str>,
        lines_lost: Counter,
    ) -> Arc<Self> {
        let mut registry = Registry::with_prefix("duplex");
        let to = &mut registry;
        to.register("log_lines_lost", "Log lines dropped: queue full, or nowhere to write them", lines_lost);
        let by_command = register(to, "commands", "Commands answered, by name and status", Family::default());
        let by_actor =
            register(to, "actor_restarts", "Restarts of actors, for failures of their own or of a sibling", Family::default());
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Arc::new(Self {
            commands: named(commands).into_iter().map(|name| (name.clone(), answers(&by_command, name))).collect(),
            other_commands: answers(&by_command, OTHER.into()),
            restarts: named(actors).into_iter().map(|actor| (actor.clone(), restarts(&by_actor, actor))).collect(),
            other_restarts: restarts(&by_actor, OTHER.into()),
            refused_frames: refused_frames(to, refusals),
            roles: roles(to),
            modes: modes(to),
            epoch: register(to, "epoch", "Epoch that this server holds", Number::default()),
            answer_latency: micros(to, "answer_latency", "From a command's arrival to its answer's leaving"),
            steps: steps(to),
            batches: batches(to),
            positions: positions(to),
            lag_entries: register(to, "lag_entries", "Entries committed on Main and not yet in this store", Number::default()),
            lag_ms: in_unit(
                to,
                "lag",
                "Age of the oldest entry committed and not yet in this store",
                "milliseconds",
                Number::default(),
            ),
            peer_lag_ms: unknown(in_unit(
                to,
                "peer_lag",
                "Age of the oldest entry stored here and not by the peer",
                "milliseconds",
                Known::default(),
            )),
            visible_after: micros(to, "visible_after", "From Main's commit to visibility on Sub"),
            heartbeats: heartbeats(to),
            takeovers: register(to, "takeovers", "Unplanned takeovers by this server", Counter::default()),
            registry,
        })
    }

    /// A command was answered.
    pub fn answered(&self, command: &str, status: Status) {
        let answers = self.commands.get(command).unwrap_or(&self.other_commands);
        match status {
            Status::Ok => answers.ok.inc(),
            Status::Rejected => answers.rejected.inc(),
            Status::Retry => answers.retry.inc(),
        };
    }

    /// An actor has been restarted so many times by now. Called by one at a time: whoever shows the metrics.
    pub fn restarts(&self, actor: &str, so_far: u64) {
        let counter = self.restarts.get(actor).unwrap_or(&self.other_restarts);
        counter.inc_by(so_far.saturating_sub(counter.get()));
    }

    /// A frame or link of the peer was refused; `code` as [`crate::wire::frames::LinkRefusal`] names it.
    pub fn refused_frame(&self, code: &'static str) {
        self.refused_frames.get_or_create(&[("code", code.to_owned())]).inc();
    }

    /// What this server is now.
    pub fn stands(&self, role: Role, mode: Mode, epoch: Epoch) {
        for (gauge, (of, _)) in self.roles.iter().zip(ROLES) {
            gauge.set(u64::from(of == role));
        }
        for (gauge, (of, _)) in self.modes.iter().zip(MODES) {
            gauge.set(u64::from(of == mode));
        }
        self.epoch.set(epoch.0);
    }

    /// The text of `/metrics`, content type `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    ///
    /// # Errors
    /// [`fmt::Error`]: only if a metric refuses to be written, which would be a fault in here.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn register<M: prometheus_client::registry::Metric + Clone>(to: &mut Registry, name: &str, help: &str, metric: M) -> M {
    to.register(name, help, metric.clone());
    metric
}

fn unknown(gauge: Known) -> Known {
    gauge.set(f64::NAN);
    gauge
}

fn in_unit<M: prometheus_client::registry::Metric + Clone>(
    to: &mut Registry,
    name: &str,
    help: &str,
    unit: &str,
    metric: M,
) -> M {
    to.register_with_unit(name, help, Unit::Other(unit.to_owned()), metric.clone());
    metric
}

/// 1 µs to 8.4 s, each bucket twice the one before: from parsing a line to a disk that hangs.
fn micros_histogram() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 24))
}

fn micros(to: &mut Registry, name: &str, help: &str) -> Micros {
    Micros(in_unit(to, name, help, "microseconds", micros_histogram()))
}

fn answers(family: &Family<Labels<2>, Counter>, command: String) -> Answers {
    let of = |status: &str| family.get_or_create_owned(&[("command", command.clone()), ("status", status.to_owned())]);
    Answers { ok: of("ok"), rejected: of("rejected"), retry: of("retry") }
}

fn refused_frames(to: &mut Registry, codes: impl IntoIterator<Item = &'static str>) -> Family<Labels<1>, Counter> {
    let family = register(to, "frames_refused", "Frames and links of the peer refused, by code", Family::default());
    for code in codes {
        // There from the start: a counter that appears with its first event hides that event from a rate.
        drop(family.get_or_create(&[("code", code.to_owned())]));
    }
    family
}

fn restarts(family: &Family<Labels<1>, Counter>, actor: String) -> Counter {
    family.get_or_create_owned(&[("actor", actor)])
}

fn steps(to: &mut Registry) -> Steps {
    let family = Family::<Labels<1>, Histogram>::new_with_constructor(micros_histogram);
    let family = in_unit(to, "step", "Time that commands spend, by step", "microseconds", family);
    let of = |step: &str| Micros(family.get_or_create_owned(&[("step", step.to_owned())]));
    Steps {
        parse: of("parse"),
        queue: of("queue"),
        execute: of("execute"),
        journal_write: of("journal_write"),
        fdatasync: of("fdatasync"),
        peer_stored: of("peer_stored"),
        applied: of("applied"),
    }
}

fn batches(to: &mut Registry) -> Batches {
    // 1 to 4,096: above the applier's largest batch (1,024) and what a window of the stream may hold at once.
    let sizes = || Histogram::new(exponential_buckets(1.0, 2.0, 13));
    let family =
        in_unit(to, "batch", "Entries handled at once", "entries", Family::<Labels<1>, Histogram>::new_with_constructor(sizes));
    let of = |of: &str| family.get_or_create_owned(&[("of", of.to_owned())]);
    Batches { execute: of("execute"), journal: of("journal"), ship: of("ship"), apply: of("apply") }
}

fn heartbeats(to: &mut Registry) -> Heartbeats {
    let mut counter = |name, help| register(to, name, help, Counter::default());
    let sent = counter("heartbeats_sent", "Heartbeats sent, on all paths together");
    let heard = counter("heartbeats_heard", "Authentic heartbeats of the peer heard, on all paths together");
    let refused = "Datagrams from the peer's address that are none of its heartbeats, by code";
    let silent = "Heartbeat paths that are silent while another one is heard";
    Heartbeats {
        sent,
        heard,
        refused: register(to, "heartbeats_refused", refused, Family::default()),
        silent_paths: register(to, "heartbeat_paths_silent", silent, Number::default()),
    }
}

fn positions(to: &mut Registry) -> Positions {
    let family = register(to, "position", "Sequence reached, by kind", Family::<Labels<1>, Number>::default());
    let of = |of: &str| family.get_or_create_owned(&[("of", of.to_owned())]);
    Positions {
        executed: of("executed"),
        stored: of("stored"),
        peer_stored: of("peer_stored"),
        confirmed: of("confirmed"),
        applied: of("applied"),
    }
}

fn roles(to: &mut Registry) -> [Number; ROLES.len()] {
    let family = register(to, "role", "1 for the role that this server has", Family::<Labels<1>, Number>::default());
    ROLES.map(|(_, role)| family.get_or_create_owned(&[("role", role.to_owned())]))
}

fn modes(to: &mut Registry) -> [Number; MODES.len()] {
    let family = register(to, "mode", "1 for the mode that this server is in", Family::<Labels<1>, Number>::default());
    MODES.map(|(_, mode)| family.get_or_create_owned(&[("mode", mode.to_owned())]))
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
