//! `GET /metrics`: what the actors count, how far this server is at this moment, and what this interface itself counts.

use std::fmt;
use std::sync::atomic::AtomicU64;

use actix_web::HttpResponse;
use actix_web::web::Data;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use slog::error;
use supervisors::{Kind, Report};

use super::problem::Problem;
use super::{Console, NoQuery};
use crate::handover::failures::codes;
use crate::model::{Mode, Role};
use crate::wire::refusal::LinkError;

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Closes a text of OpenMetrics; one of two texts must lose it.
const END: &str = "# EOF\n";

/// Labels are paths of ours and status codes, never what somebody sent.
type Labels = [(&'static str, String); 2];

/// What this interface counts.
pub(super) struct Http {
    registry: Registry,
    requests: Family<Labels, Counter>,
    pub(super) panics: Counter,
    failures: Family<[(&'static str, &'static str); 1], Counter>,
    resident: Gauge<u64, AtomicU64>,
    addresses: Gauge<u64, AtomicU64>,
}

impl Default for Http {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("duplex");
        let requests = Family::<Labels, Counter>::default();
        let (panics, resident, addresses) = (Counter::default(), Gauge::default(), Gauge::default());
        registry.register("http_requests", "HTTP requests answered, by path and status", requests.clone());
        registry.register("http_panics", "HTTP requests whose handler panicked", panics.clone());
        let failures = failures_by_code(&mut registry);
        registry.register_with_unit("process_resident", "Memory of this process", Unit::Bytes, resident.clone());
        registry.register("addresses_held", "Service addresses that this server holds", addresses.clone());
        Self { registry, requests, panics, failures, resident, addresses }
    }
}

impl Http {
    pub(super) fn answered(&self, path: &str, status: u16) {
        self.requests.get_or_create(&[("path", path.to_owned()), ("status", status.to_string())]).inc();
    }
}

pub(super) async fn metrics(console: Data<Console>, _: NoQuery) -> Result<HttpResponse, Problem> {
    console.refresh();
    match console.encode() {
        Ok(text) => Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body(text)),
        Err(fmt::Error) => {
            error!(console.parts.log, "cannot write the metrics");
            Err(Problem::internal())
        }
    }
}

impl Console {
    /// Gauges that follow the board are set when somebody looks.
    fn refresh(&self) {
        let (board, to) = (&self.parts.board, &self.parts.metrics.positions);
        let view = self.parts.shown.view();
        self.http.addresses.set(view.addresses.len() as u64);
        let (role, mode) = view.standing.map_or((Role::None, Mode::Starting), |standing| (standing.role, standing.mode));
        self.parts.metrics.stands(role, mode, board.epoch());
        let (applied, confirmed) = (board.applied().0, board.confirmed().max(board.told()).0);
        to.executed.set(board.executed().0);
        to.stored.set(board.stored().0);
        to.peer_stored.set(board.peer_known().0);
        to.confirmed.set(board.confirmed().0);
        to.applied.set(applied);
        let lag = confirmed.saturating_sub(applied);
        self.parts.metrics.lag_entries.set(lag);
        // Whatever is missing on Sub came later than its data are old. On Main this is for the applier to measure.
        let age_ms = if lag == 0 { Some(0) } else { (self.parts.freshness)().filter(|_| role == Role::Sub) };
        if let Some(age_ms) = age_ms {
            self.parts.metrics.lag_ms.set(age_ms);
        }
        self.count_restarts(&(self.parts.tree)());
        for failure in self.parts.failures.list() {
            let counter = self.http.failures.get_or_create(&[("code", failure.code)]);
            counter.inc_by(failure.times.saturating_sub(counter.get()));
        }
        if let Some(bytes) = resident_bytes() {
            self.http.resident.set(bytes);
        }
    }

    /// The tree counts; here it is only shown.
    fn count_restarts(&self, report: &Report) {
        if report.kind == Kind::Actor {
            self.parts.metrics.restarts(&report.name, report.restarts);
        }
        report.children.iter().for_each(|child| self.count_restarts(child));
    }

    fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = self.parts.metrics.encode()?;
        text.truncate(text.strip_suffix(END).map_or(text.len(), str::len));
        encode(&mut text, &self.http.registry)?;
        Ok(text)
    }
}

/// Each is there from the start: a counter that appears with its first event hides that event from a rate.
fn failures_by_code(registry: &mut Registry) -> Family<[(&'static str, &'static str); 1], Counter> {
    let failures = Family::<[(&str, &str); 1], Counter>::default();
    let help = "Failures between the two servers and behind the journal, by code";
    registry.register("replication_failures", help, failures.clone());
    for code in LinkError::codes().chain(codes::ALL).filter(|code| !codes::NO_FAILURES.contains(code)) {
        drop(failures.get_or_create(&[("code", code)]));
    }
    failures
}

/// `VmRSS` as Linux tells it, in KiB.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
