//! Refusals over HTTP: a status and `{"code","text_en","text_ja"}`, with the numbers that the text names.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value};

use super::limits;
use crate::ledger::texts::{Code, Refusal};
use crate::model::{Mode, Sequence};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub status: StatusCode,
    pub code: String,
    pub text_en: String,
    pub text_ja: String,
    /// Numbers named in the texts.
    pub numbers: Vec<(&'static str, u64)>,
}

impl Problem {
    fn new(status: StatusCode, code: &str, text_en: impl Into<String>, text_ja: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), text_en: text_en.into(), text_ja: text_ja.into(), numbers: Vec::new() }
    }

    /// The request cannot be read; `reason` names the parameter, header or field.
    pub fn bad_request(reason: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "BAD_REQUEST",
            format!("cannot read the request: {reason}"),
            format!("リクエストを読み取れません: {reason}"),
        )
    }

    pub fn too_large() -> Self {
        let most = limits::BODY_MAX;
        let en = format!("the request's body is longer than {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", en, format!("リクエストが{most}バイトを超えています。"))
    }

    pub fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path", "このパスには何もありません。")
    }

    pub fn no_such_row() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such record", "該当するデータがありません。")
    }

    pub fn wrong_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            "this path does not take this method",
            "このパスではこのメソッドを使えません。",
        )
    }

    pub fn no_terminal() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "UNKNOWN_TERMINAL",
            "the headers X-Duplex-Terminal and X-Duplex-Key are needed: a terminal of the kind analysis or hall_computer",
            "X-Duplex-Terminal と X-Duplex-Key のヘッダが必要です。",
        )
    }

    /// A terminal that may not read, in the words that terminals hear.
    pub fn refused(code: Code) -> Self {
        let known = matches!(code, Code::TerminalDisabled | Code::KindNotAllowed);
        let status = if known { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
        let response = Refusal::from(code).response();
        Self::new(status, &response.code, response.text_en, response.text_ja)
    }

    /// This server does not answer reads in its present mode.
    pub fn not_serving(mode: Mode) -> Self {
        let code = if mode == Mode::Rejoining { Code::Restoring } else { Code::Switching };
        let (en, ja) = match mode {
            Mode::Starting => ("this server is starting and does not answer reads yet", "このサーバは起動中です。"),
            Mode::Rejoining => ("this server is being restored and does not answer reads", "このサーバは復旧中です。"),
            Mode::Suspended | Mode::Pair | Mode::Solo => {
                ("the servers are switching over; ask again", "サーバを切り替えています。もう一度お試しください。")
            }
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code.name(), en, ja)
    }

    pub fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Busy.name(),
            "too many reads at the same time; ask again",
            "混み合っています。もう一度お試しください。",
        )
    }

    /// `wanted` was not applied in time.
    pub fn behind(applied: Sequence, wanted: Sequence) -> Self {
        let (applied, wanted) = (applied.0, wanted.0);
        let en = format!("this server has applied entry {applied}, but entry {wanted} was asked for");
        let ja = format!("このサーバの反映は取引番号{applied}まで、要求は{wanted}です。");
        let numbers = vec![("applied", applied), ("at_least", wanted)];
        Self { numbers, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "BEHIND", en, ja) }
    }

    /// `wanted` is an entry that nobody ever confirmed.
    pub fn not_in_history(confirmed: Sequence, wanted: Sequence) -> Self {
        let (confirmed, wanted) = (confirmed.0, wanted.0);
        let en = format!("entry {wanted} was asked for, but the history ends at entry {confirmed}; waiting does not help");
        let ja = format!("取引番号{wanted}はありません。記録は{confirmed}までです。");
        let numbers = vec![("confirmed", confirmed), ("at_least", wanted)];
        Self { numbers, ..Self::new(StatusCode::CONFLICT, "NOT_IN_HISTORY", en, ja) }
    }

    /// The data cannot be proven to be as fresh as asked.
    pub fn not_fresh(known_ms: Option<u64>, wanted_ms: u64) -> Self {
        let known = known_ms.map_or_else(|| "nothing about their age".to_owned(), |ms| format!("at most {ms} ms old"));
        let en = format!("data at most {wanted_ms} ms old were asked for; this server can prove: {known}");
        let ja = format!("{wanted_ms}ミリ秒以内のデータであることを確認できません。");
        let numbers = known_ms.map(|ms| ("lag_ms", ms)).into_iter().chain([("max_lag_ms", wanted_ms)]).collect();
        Self { numbers, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_FRESH", en, ja) }
    }

    pub fn store_away() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "STORE_AWAY",
            "the records cannot be read at the moment; ask again",
            "記録を読み出せません。もう一度お試しください。",
        )
    }

    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "this request failed by a fault of the server; the log says more",
            "サーバ内部で障害が起きました。",
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text_en)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut body = Map::new();
        body.insert("code".into(), self.code.clone().into());
        body.insert("text_en".into(), self.text_en.clone().into());
        body.insert("text_ja".into(), self.text_ja.clone().into());
        body.extend(self.numbers.iter().map(|(name, number)| ((*name).to_owned(), Value::from(*number))));
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, limits::RETRY_AFTER));
        }
        response.json(body)
    }
}
