//! The exact words that terminals show.

use std::collections::HashSet;

use duplex::ledger::texts::{Code, Refusal, of_pair};
use duplex::model::application::PairCode;
use duplex::model::{Bad, Status};
use serde_json::Value;

/// Printed in manuals and read out on the phone, so these are held to the letter.
const EXACT: [(Code, &str, &str, &str); 25] = [
    (
        Code::UnknownCard,
        "UNKNOWN_CARD",
        "登録のないカードです。係員をお呼びください。",
        "This card is not registered. Please call staff.",
    ),
    (
        Code::CardStopped,
        "CARD_STOPPED",
        "このカードは停止中です。カウンターへお越しください。",
        "This card has been stopped. Please come to the counter.",
    ),
    (
        Code::CardVoid,
        "CARD_VOID",
        "このカードは停止中です。カウンターへお越しください。",
        "This card has been stopped. Please come to the counter.",
    ),
    (
        Code::MemberSuspended,
        "MEMBER_SUSPENDED",
        "お取扱いできません。カウンターへお越しください。",
        "We cannot process this. Please come to the counter.",
    ),
    (Code::WrongPin, "WRONG_PIN", "暗証番号が違います。(あと2回)", "Wrong PIN. 2 tries left."),
    (
        Code::PinLocked,
        "PIN_LOCKED",
        "暗証番号がロックされました。カウンターへお越しください。",
        "PIN locked. Please come to the counter.",
    ),
    (Code::InsufficientBalance, "INSUFFICIENT_BALANCE", "貯玉が足りません。(残り2)", "Not enough stored units (2 left)."),
    (Code::OverDailyLimit, "OVER_DAILY_LIMIT", "本日の再プレイ上限に達しました。(残り2)", "Today's limit is reached (2 left)."),
    (Code::WrongMedium, "WRONG_MEDIUM", "この台では使えない種類の貯玉です。", "This kind of unit cannot be used here."),
    (Code::HallClosed, "HALL_CLOSED", "営業時間外です。", "The site is closed."),
    (
        Code::UnknownTerminal,
        "UNKNOWN_TERMINAL",
        "端末が登録されていません。係員をお呼びください。(UNKNOWN_TERMINAL)",
        "Terminal not registered. Please call staff.",
    ),
    (
        Code::TerminalDisabled,
        "TERMINAL_DISABLED",
        "端末が登録されていません。係員をお呼びください。(TERMINAL_DISABLED)",
        "Terminal not registered. Please call staff.",
    ),
    (
        Code::KindNotAllowed,
        "KIND_NOT_ALLOWED",
        "端末が登録されていません。係員をお呼びください。(KIND_NOT_ALLOWED)",
        "Terminal not registered. Please call staff.",
    ),
    (Code::RateTableOld, "RATE_TABLE_OLD", "設定を更新しています。しばらくお待ちください。", "Updating settings. Please wait."),
    (
        Code::CommandIdReused,
        "COMMAND_ID_REUSED",
        "通信エラーです。係員をお呼びください。(COMMAND_ID_REUSED)",
        "Communication error. Please call staff.",
    ),
    (
        Code::OffsiteCopyOverdue,
        "OFFSITE_COPY_OVERDUE",
        "ただいま預入を停止しています。レシートをお取りください。",
        "Deposits are paused. Please take your receipt.",
    ),
    (
        Code::AccountCeiling,
        "ACCOUNT_CEILING",
        "お預かりの上限に達しました。残りはレシートでお渡しします。",
        "Account is full. The rest is on your receipt.",
    ),
    (Code::Switching, "SWITCHING", "しばらくお待ちください。(サーバ切替え中)", "One moment, please (servers switching over)."),
    (Code::Restoring, "RESTORING", "しばらくお待ちください。(サーバ切替え中)", "One moment, please (servers switching over)."),
    (Code::Busy, "BUSY", "しばらくお待ちください。(サーバ切替え中)", "One moment, please (servers switching over)."),
    (Code::OpenPayouts, "OPEN_PAYOUTS", "未完了の払出が2件あります。", "2 payouts are not finished."),
    (
        Code::WrongKey,
        "WRONG_KEY",
        "端末が登録されていません。係員をお呼びください。(WRONG_KEY)",
        "Terminal not registered. Please call staff.",
    ),
    (
        Code::CommandTooOld,
        "COMMAND_TOO_OLD",
        "通信エラーです。係員をお呼びください。(COMMAND_TOO_OLD)",
        "Communication error. Please call staff.",
    ),
    (
        Code::VersionUnknown,
        "VERSION_UNKNOWN",
        "通信エラーです。係員をお呼びください。(VERSION_UNKNOWN)",
        "Communication error. Please call staff.",
    ),
    (
        Code::BadRequest,
        "BAD_REQUEST",
        "通信エラーです。係員をお呼びください。(BAD_REQUEST)",
        "Communication error. Please call staff.",
    ),
];

#[test]
fn terminals_show_exactly_the_agreed_texts() {
    for (code, name, ja, en) in EXACT {
        let response = Refusal { code, n: 2, body: "{}".into() }.response();
        assert_eq!((response.code.as_str(), response.text_ja.as_str(), response.text_en.as_str()), (name, ja, en));
    }
}

#[test]
fn every_code_has_its_own_name_and_both_texts_filled_in() {
    let mut names = HashSet::new();
    for code in Code::ALL {
        let response = Refusal::from(code).response();
        assert!(names.insert(response.code.clone()), "{} stands twice", response.code);
        for text in [&response.text_ja, &response.text_en] {
            assert!(!text.is_empty() && !text.contains(['{', '}']), "{}: {text}", response.code);
        }
    }
}

#[test]
fn only_the_pairs_own_troubles_ask_to_try_again() {
    for code in Code::ALL {
        let retry = matches!(code, Code::Busy | Code::Switching | Code::Restoring);
        let expected = if retry { Status::Retry } else { Status::Rejected };
        assert_eq!(Refusal::from(code).response().status, expected, "{}", code.name());
    }
    for code in [PairCode::Busy, PairCode::Switching, PairCode::Restoring] {
        assert_eq!(of_pair(code).status, Status::Retry);
    }
}

#[test]
fn a_bad_request_names_its_field() {
    let response = of_pair(PairCode::BadRequest(Bad { field: "body.units".into(), reason: "0 \"is\" bad".into() }));
    let body: Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!((body["field"].as_str(), body["reason"].as_str()), (Some("body.units"), Some("0 \"is\" bad")));
}
