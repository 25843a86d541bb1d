//! `POST /api/v1/commands`: a terminal's line as a request's body, its answer as the response's.

use actix_web::HttpResponse;
use actix_web::http::header::{self, ContentType};
use actix_web::web::{Data, Payload};
use tokio::time::timeout;

use super::problem::Problem;
use super::{Console, NoQuery, POSITION, limits};
use crate::actors::command_acceptor::Submit;
use crate::ledger::texts;
use crate::model::application::PairCode;
use crate::model::{Sequence, Status};
use crate::wire::terminal::{Answer, AnswerRead, encode_answer, parse};

pub(super) async fn post(console: Data<Console>, _: NoQuery, body: Payload) -> Result<HttpResponse, Problem> {
    let line = text_of(body).await?;
    let command_id = parse(&line).map_or_else(|unreadable| unreadable.command_id, |envelope| Some(envelope.command_id));
    let answered = timeout(limits::ANSWER_LIMIT, console.parts.submit.send(Submit(line))).await;
    let answer = match answered {
        Ok(Ok(answer)) => answer,
        // Unanswered, or the acceptor was reborn with the command in its hands: the outcome is unknown.
        Ok(Err(_)) | Err(_) => {
            let (epoch, mode) = (console.parts.board.epoch(), console.parts.shown.mode());
            let response = &texts::of_pair(PairCode::not_serving(mode));
            let mut out = Vec::new();
            let (stored_on, day, sequence, repeated) = (None, None, Sequence(0), false);
            encode_answer(&mut out, &Answer { command_id, response, stored_on, epoch, sequence, day, mode, repeated });
            out
        }
    };
    respond(answer)
}

async fn text_of(body: Payload) -> Result<String, Problem> {
    let bytes = match timeout(limits::BODY_LIMIT, body.to_bytes_limited(limits::BODY_MAX)).await {
        Ok(Ok(Ok(bytes))) => bytes,
        Ok(Err(_)) => return Err(Problem::too_large()),
        Ok(Ok(Err(error))) => return Err(Problem::bad_request(error)),
        Err(_) => return Err(Problem::bad_request("the body did not come in time")),
    };
    String::from_utf8(bytes.into()).map_err(|error| Problem::bad_request(format_args!("the body is not UTF-8: {error}")))
}

/// The answer as it is, with a status that plain HTTP clients understand.
fn respond(answer: Vec<u8>) -> Result<HttpResponse, Problem> {
    let read = std::str::from_utf8(&answer).ok().and_then(|line| AnswerRead::parse(line).ok()).ok_or_else(Problem::internal)?;
    let mut response = match read.status {
        Status::Retry => HttpResponse::ServiceUnavailable(),
        Status::Rejected if read.code == "BAD_REQUEST" => HttpResponse::BadRequest(),
        Status::Ok | Status::Rejected => HttpResponse::Ok(),
    };
    if read.status == Status::Retry {
        response.insert_header((header::RETRY_AFTER, limits::RETRY_AFTER));
    }
    if read.stored_on.is_some() {
        // What the client gives to a read that must see this command.
        response.insert_header((POSITION, format!("{}/{}", read.epoch.0, read.sequence.0)));
    }
    Ok(response.insert_header(ContentType::json()).body(answer))
}
