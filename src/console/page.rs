//! `GET /`: one page that a person in the office understands. Nothing on it comes from elsewhere, and it goes on telling when the
//! server does not answer any more.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType};
use actix_web::web::Data;

use super::{Console, NoQuery};

const PAGE: &str = include_str!("page.html");
/// Nothing from anywhere else, and no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The first state is in the page itself; its script asks for the next ones.
pub(super) async fn page(console: Data<Console>, _: NoQuery) -> HttpResponse {
    let status = console.status();
    let fill = [
        ("{{colour}}", status.colour.to_owned()),
        ("{{shape}}", status.shape.to_string()),
        ("{{ja}}", escaped(&status.sentence.ja)),
        ("{{en}}", escaped(&status.sentence.en)),
        ("{{line_ja}}", escaped(&status.line.ja)),
        ("{{line_en}}", escaped(&status.line.en)),
        ("{{server}}", escaped(&console.names[console.me.index()])),
    ];
    let body = fill.iter().fold(PAGE.to_owned(), |page, (mark, value)| page.replace(mark, value));
    HttpResponse::Ok()
        .insert_header(ContentType::html())
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(body)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
