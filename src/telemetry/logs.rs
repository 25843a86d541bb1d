//! Logs: one queue from all actors to one writing thread, which prints to stderr and, if configured, keeps one file per actor.
//!
//! **Invariant:** writing a log never blocks an actor. A full queue drops the line, counts it, and says so in the next line that fits.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use slog::{Drain, LevelFilter, Logger, OwnedKVList, Record, o};
use slog_async::{AsyncCore, AsyncGuard};

use crate::config;

use super::drains::{Writer, stamped};
use super::streams::Streams;

/// Lines waiting for the writing thread, about 2 MiB: one for each of the 3,500 terminals that come back at once, and some.
const QUEUE_LINES_MAX: usize = 4_096;
/// How long a process that ends waits for its last lines: stderr may be a pipe that nobody reads.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Why logging cannot start: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogError {
    /// A level is set for an actor that does not exist.
    NoActor { name: String, actors: String },
    /// A file cannot be opened.
    Files { reason: String },
}

impl LogError {
    /// The name that is no actor's.
    pub fn actor(&self) -> Option<&str> {
        match self {
            Self::NoActor { name, .. } => Some(name),
            Self::Files { .. } => None,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoActor { name, actors } => write!(f, "{name:?} is no actor; the actors are {actors}"),
            Self::Files { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for LogError {}

/// Gives each actor its logger. Cheap to clone.
#[derive(Clone)]
pub struct Logs {
    queue: Arc<Queue>,
    level: slog::Level,
    levels: Arc<BTreeMap<String, slog::Level>>,
}

/// Held by `main` until the end: dropping it writes what is queued, within two seconds.
pub struct Guard(Option<AsyncGuard>);

/// Starts logging. `actors` are all names that [`Logs::for_actor`] will be asked for; each has a file below `data/log` if configured.
///
/// # Errors
/// [`LogError`]: a level for an actor that does not exist, or a file that cannot be opened.
pub fn start(settings: &config::Log, data: &Path, actors: &[&str]) -> Result<(Logs, Guard), LogError> {
    let streams = if settings.streams { Some(open_streams(data, actors)?) } else { None };
    start_with(settings, actors, Writer::to_stderr(settings.format, streams))
}

fn open_streams(data: &Path, actors: &[&str]) -> Result<Streams, LogError> {
    let directory = data.join("log");
    Streams::open(&directory, actors)
        .map_err(|error| LogError::Files { reason: format!("cannot keep logs in {}: {error}", directory.display()) })
}

/// As [`start`], with everything that is written given from outside.
pub(super) fn start_with(settings: &config::Log, actors: &[&str], writer: Writer) -> Result<(Logs, Guard), LogError> {
    if let Some(unknown) = settings.actors.keys().find(|name| !actors.contains(&name.as_str())) {
        return Err(LogError::NoActor { name: unknown.clone(), actors: actors.join(", ") });
    }
    let lost = Counter::default();
    let (core, guard) = AsyncCore::custom(writer.counting(lost.clone()).ignore_res())
        .chan_size(QUEUE_LINES_MAX)
        .blocking(false)
        .thread_name("log".into())
        .build_with_guard();
    let queue = Arc::new(Queue { core, unreported: AtomicU64::new(0), lost });
    let levels = settings.actors.iter().map(|(actor, level)| (actor.clone(), slog_level(*level))).collect();
    Ok((Logs { queue, level: slog_level(settings.level), levels: Arc::new(levels) }, Guard(Some(guard))))
}

impl Logs {
    /// The logger of an actor, with that actor's level. A name that [`start`] was not told of has the general level and no file.
    pub fn for_actor(&self, actor: &str) -> Logger {
        let level = self.levels.get(actor).copied().unwrap_or(self.level);
        Logger::root(LevelFilter::new(self.queue.clone(), level).ignore_res(), o!("actor" => actor.to_owned()))
    }

    /// Lines lost since the start, because the queue was full or a disk would not take them. For the metrics.
    pub fn lost(&self) -> Counter {
        self.queue.lost.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else { return };
        let (done, flushed) = mpsc::channel();
        let flush = move || {
            drop(guard);
            // Nobody waits any more if that took too long.
            let _ = done.send(());
        };
        // Without a thread the guard is dropped right here, which waits as well, only without a limit.
        if thread::Builder::new().name("log-flush".into()).spawn(flush).is_ok() {
            let _ = flushed.recv_timeout(FLUSH_LIMIT);
        }
    }
}

/// The bounded way to the writing thread.
struct Queue {
    core: AsyncCore,
    /// Lost since the last line that reported a loss.
    unreported: AtomicU64,
    lost: Counter,
}

impl Queue {
    fn lose(&self, lines: u64) {
        self.unreported.fetch_add(lines, Ordering::Relaxed);
    }

    /// Says that lines are missing here, before the first line after them.
    fn report_loss(&self, values: &OwnedKVList) {
        let missing = self.unreported.swap(0, Ordering::Relaxed);
        if missing == 0 {
            return;
        }
        let place = slog::record_static!(slog::Level::Warning, "");
        let message = format_args!("log lines were lost: the queue was full");
        let told = stamped(&Record::new(&place, &message, slog::b!("log.lines_lost" => missing)), |record| {
            self.core.log(record, values)
        });
        if told.is_err() {
            self.lose(missing);
        }
    }
}

impl Drain for Queue {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        self.report_loss(values);
        if stamped(record, |record| self.core.log(record, values)).is_err() {
            self.lost.inc();
            self.lose(1);
        }
        Ok(())
    }
}

pub(super) fn slog_level(level: config::Level) -> slog::Level {
    match level {
        config::Level::Error => slog::Level::Error,
        config::Level::Warning => slog::Level::Warning,
        config::Level::Info => slog::Level::Info,
        config::Level::Debug => slog::Level::Debug,
        config::Level::Trace => slog::Level::Trace,
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
