//! What is where.

use std::panic::AssertUnwindSafe;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::{Error, PathError};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, PathConfig, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, Route, guard};
use futures_util::FutureExt;
use slog::error;

use super::openapi::OPENAPI;
use super::problem::Problem;
use super::{Console, NoQuery, commands, metrics, page, reads, status};

/// Every path with its method. A test holds the OpenAPI document against it.
pub const ROUTES: [(&str, &str); 10] = [
    ("get", "/"),
    ("get", "/metrics"),
    ("get", "/api/v1/openapi.json"),
    ("get", "/api/v1/status"),
    ("post", "/api/v1/commands"),
    ("get", "/api/v1/members"),
    ("get", "/api/v1/members/{no}"),
    ("get", "/api/v1/accounts"),
    ("get", "/api/v1/ledger"),
    ("get", "/api/v1/days/{date}/totals"),
];

pub(super) fn configure(app: &mut ServiceConfig) {
    let bad_path = |error: PathError, _: &HttpRequest| Problem::bad_request(error).into();
    app.app_data(PathConfig::default().error_handler(bad_path)).service(
        web::scope("")
            .wrap(from_fn(watch))
            .service(at("/").route(get().to(page::page)))
            .service(at("/metrics").route(get().to(metrics::metrics)))
            .service(at("/api/v1/openapi.json").route(get().to(openapi)))
            .service(at("/api/v1/status").route(get().to(status::status)))
            .service(at("/api/v1/commands").route(web::post().to(commands::post)))
            .service(at("/api/v1/members").route(get().to(reads::members)))
            .service(at("/api/v1/members/{no}").route(get().to(reads::member)))
            .service(at("/api/v1/accounts").route(get().to(reads::accounts)))
            .service(at("/api/v1/ledger").route(get().to(reads::ledger)))
            .service(at("/api/v1/days/{date}/totals").route(get().to(reads::totals)))
            .default_service(web::to(async || Err::<HttpResponse, _>(Problem::no_such_path()))),
    );
}

pub(super) fn at(path: &str) -> Resource {
    web::resource(path).default_service(web::to(async || Err::<HttpResponse, _>(Problem::wrong_method())))
}

/// HEAD as well: the server leaves the body out.
pub(super) fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn openapi(_: NoQuery) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI.as_str())
}

/// Counts every request, and turns a panic into an answer: without this the connection would just close.
async fn watch(request: ServiceRequest, next: Next<impl MessageBody>) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let console = request.app_data::<Data<Console>>().cloned().ok_or_else(Problem::internal)?;
    // Read now: a clone of the request would be in the way of the routing.
    let path = request.match_pattern().and_then(|pattern| ROUTES.iter().find(|(_, path)| *path == pattern));
    let path = path.map_or("other", |(_, path)| *path);
    let answered = AssertUnwindSafe(async { next.call(request).await }).catch_unwind().await.unwrap_or_else(|_| {
        console.http.panics.inc();
        error!(console.parts.log, "a request's handler panicked"; "path" => path);
        Err(Problem::internal().into())
    });
    let status = answered.as_ref().map_or_else(|error| error.as_response_error().status_code(), ServiceResponse::status);
    console.http.answered(path, status.as_u16());
    answered
}
