//! The HTTP interface of a witness: what it holds and did for each pair, for collectors and for people. Answered from memory.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::AtomicU64;

use actix_web::HttpResponse;
use actix_web::web::{self, Data};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;
use slog::{Logger, error, info};

use super::metrics::CONTENT_TYPE;
use super::problem::Problem;
use super::routes::{at, get};
use super::{NoQuery, Running, bounded, on_a_thread, time_text};
use crate::arbiter::witness_account::Refused;
use crate::arbiter::witness_frames::WitnessStatus;
use crate::arbiter::{Accounts, PairAccount};
use crate::model::UnixMs;

/// Labels are ids of pairs that were given at the start, and reasons of ours.
type Labels<const N: usize> = [(&'static str, String); N];
type Numbers = Family<Labels<1>, Gauge<u64, AtomicU64>>;

/// Serves on a thread of its own until [`Running::stop`].
///
/// # Errors
/// If the listener cannot be used or no thread can be made.
pub fn start(accounts: Accounts, listener: TcpListener, log: &Logger) -> io::Result<Running> {
    info!(log, "listens for HTTP"; "address" => listener.local_addr()?.to_string());
    let (accounts, log) = (Data::new(accounts), Data::new(log.clone()));
    on_a_thread(move || {
        bounded(listener, move |app| {
            app.app_data(accounts.clone())
                .app_data(log.clone())
                .service(at("/metrics").route(get().to(metrics)))
                .service(at("/api/v1/status").route(get().to(status)))
                .default_service(web::to(async || Err::<HttpResponse, _>(Problem::no_such_path())));
        })
    })
}

async fn metrics(accounts: Data<Accounts>, log: Data<Logger>, _: NoQuery) -> Result<HttpResponse, Problem> {
    match text(&accounts.read()) {
        Ok(text) => Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body(text)),
        Err(fmt::Error) => {
            error!(log, "cannot write the metrics");
            Err(Problem::internal())
        }
    }
}

/// The counts are the desks' own; a registry for each look holds nothing that could disagree with them.
fn text(accounts: &[PairAccount]) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("duplex_witness");
    let [answered, landed] =
        [("answered", "Asks answered since the start"), ("landed", "Changes of the register since the start")]
            .map(|(name, help)| registered(&mut registry, name, help, Family::<Labels<1>, Counter>::default()));
    let refused = registered(&mut registry, "refused", "Asks refused, by reason", Family::<Labels<2>, Counter>::default());
    let epoch = registered(&mut registry, "epoch", "Epoch of the register; 0 without one", Numbers::default());
    let grants =
        registered(&mut registry, "grants", "1 if changes are granted now, 0 while something is in the way", Numbers::default());
    let [since, written] =
        [("holder_since", "When the register's holder came to hold it"), ("written", "When the file was replaced")].map(
            |(name, help)| {
                let numbers = Numbers::default();
                registry.register_with_unit(
                    name,
                    format!("{help}, as Unix time; absent if unknown"),
                    Unit::Seconds,
                    numbers.clone(),
                );
                numbers
            },
        );
    for account in accounts {
        let status = &account.status;
        let pair = || [("pair", status.pair.clone())];
        answered.get_or_create(&pair()).inc_by(status.answered);
        landed.get_or_create(&pair()).inc_by(status.landed);
        for (reason, times) in &account.refused.0 {
            let labels = [("pair", status.pair.clone()), ("reason", (*reason).to_owned())];
            refused.get_or_create(&labels).inc_by(*times);
        }
        epoch.get_or_create(&pair()).set(status.register.map_or(0, |register| register.epoch.0));
        grants.get_or_create(&pair()).set(status.refuses.is_none().into());
        for (to, at) in [(&since, account.since), (&written, account.written)] {
            if let Some(at) = at.and_then(|at| u64::try_from(at.0 / 1_000).ok()) {
                to.get_or_create(&pair()).set(at);
            }
        }
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn registered<M: Clone + prometheus_client::registry::Metric>(to: &mut Registry, name: &str, help: &str, metric: M) -> M {
    to.register(name, help, metric.clone());
    metric
}

/// What is told of a pair: the fields of `duplex witness status --json`, and what only a collector wants.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    status: WitnessStatus,
    /// When the register's holder came to hold it.
    since: Option<String>,
    /// When the file was last replaced.
    written: Option<String>,
    refused: Refused,
}

async fn status(accounts: Data<Accounts>, _: NoQuery) -> HttpResponse {
    let text = |at: Option<UnixMs>| at.and_then(time_text);
    let told = accounts.read().into_iter().map(|account| Told {
        since: text(account.since),
        written: text(account.written),
        status: account.status,
        refused: account.refused,
    });
    HttpResponse::Ok().json(serde_json::json!({ "pairs": told.collect::<Vec<_>>() }))
}
