//! Every limit of the HTTP interface, with where its number came from.

use std::time::Duration;

use crate::config::limits::{ASK_LIMIT, REFRESH_MS};

/// Open connections. A site has some tens of analysis clients, status pages and collectors; each may hold one answer of about 1 MiB.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// From the connection to the end of a request's head: ten times the slowest sane network.
pub(super) const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// An idle connection is kept this long: above a collector's usual 15 s.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long a connection may take to close.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Seconds that answers under way have when the server stops. Within the time that a clean hand-over may take.
pub(super) const STOP_SECONDS: u64 = 2;

/// A request's body: a terminal's longest line.
pub(super) const BODY_MAX: usize = crate::wire::terminal::LINE_MAX;
/// From the end of the head to the end of the body: 64 KiB over any line take a fraction of it.
pub(super) const BODY_LIMIT: Duration = Duration::from_secs(5);
/// A command's answer. The gate gives up after [`crate::config::limits::ANSWER_LIMIT_MS`] (2 s); before it may stand a queue of
/// passwords, each some tens of milliseconds.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// What `Retry-After` says, seconds: a takeover is over by then, and terminals repeat each 2 s.
pub(super) const RETRY_AFTER: &str = "2";

/// Lines of one answer, unless the request asks for fewer or more.
pub(super) const LINES: u32 = 100;
/// Lines of one answer at most: 1,000 members with long addresses are 1 MiB.
pub(super) const LINES_MAX: u32 = 1_000;
/// What a read waits for before it reaches the store: the proof of being Main, and entries to be applied.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(2);
/// In the store, waiting for a turn included: twice what a report of a whole day may take (5 s).
pub(super) const STORE_LIMIT: Duration = Duration::from_secs(10);
/// How often a waiting read looks at the applied position: the applier commits about as often when it is busy.
pub(super) const APPLIED_POLL: Duration = Duration::from_millis(2);
/// Reads that wait or run. Each holds its request only; beyond, the client is told to come again.
pub(super) const READS_MAX: usize = 64;
/// Reads in the store at the same time. Two cores serve terminals first.
pub(super) const READS_AT_ONCE: usize = 2;

/// A server that is suspended longer than this is not switching over any more: asking takes 1 s, and is repeated.
pub(super) const SWITCHING_MS_MAX: i64 = 5_000;
/// Three times in a row nothing was heard when the register was refreshed, and the last question has run out.
pub(super) const ARBITER_SILENCE_MS_MAX: u64 = 3 * REFRESH_MS + ASK_LIMIT.as_millis() as u64;
/// Taking an address is tried each 50 ms; whoever holds none after this time will not hold one by itself.
pub(super) const ADDRESS_PATIENCE_MS: i64 = 2_000;
