//! Every code that a terminal can hear, with its exact texts. `{n}` and `{code}` are filled in.

use serde::Serialize;

use crate::model::application::PairCode;
use crate::model::{Response, Status};

/// Why a command was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    UnknownTerminal,
    TerminalDisabled,
    WrongKey,
    HallClosed,
    KindNotAllowed,
    NotSignedIn,
    RoleNotAllowed,
    RateTableOld,
    WrongMedium,
    UnknownCard,
    CardStopped,
    CardVoid,
    MemberSuspended,
    WrongPin,
    PinLocked,
    PinNotSet,
    PinRequired,
    SessionEnded,
    OverDailyLimit,
    InsufficientBalance,
    UnitsNotInSteps,
    PayoutPending,
    UnknownPayout,
    PayoutClosed,
    DeliveredTooMany,
    AccountCeiling,
    OffsiteCopyOverdue,
    UnknownMember,
    UnknownStaff,
    UnderAge,
    CardInUse,
    MemberHasCard,
    DuplicateSuspected,
    WrongPassword,
    PreviousDayNotClosed,
    DateNotLater,
    DateFarFromClock,
    OtherDay,
    OpenPayouts,
    VersionTooOld,
    BadRequest,
    VersionUnknown,
    CommandIdReused,
    CommandTooOld,
    Busy,
    Switching,
    Restoring,
}

/// As it is written in an answer: name, Japanese, English.
type Wording = (&'static str, &'static str, &'static str);

const NOT_REGISTERED: (&str, &str) =
    ("端末が登録されていません。係員をお呼びください。({code})", "Terminal not registered. Please call staff.");
const CARD_NOT_REGISTERED: (&str, &str) =
    ("登録のないカードです。係員をお呼びください。", "This card is not registered. Please call staff.");
const STOPPED: (&str, &str) =
    ("このカードは停止中です。カウンターへお越しください。", "This card has been stopped. Please come to the counter.");
const ONE_MOMENT: (&str, &str) = ("しばらくお待ちください。(サーバ切替え中)", "One moment, please (servers switching over).");
const SOFTWARE_OLD: (&str, &str) =
    ("端末のソフトウェアが古いため使えません。係員をお呼びください。", "This terminal's software is too old. Please call staff.");
const COMMUNICATION: (&str, &str) = ("通信エラーです。係員をお呼びください。({code})", "Communication error. Please call staff.");

impl Code {
    pub const ALL: [Self; 47] = [
        Self::UnknownTerminal,
        Self::TerminalDisabled,
        Self::WrongKey,
        Self::HallClosed,
        Self::KindNotAllowed,
        Self::NotSignedIn,
        Self::RoleNotAllowed,
        Self::RateTableOld,
        Self::WrongMedium,
        Self::UnknownCard,
        Self::CardStopped,
        Self::CardVoid,
        Self::MemberSuspended,
        Self::WrongPin,
        Self::PinLocked,
        Self::PinNotSet,
        Self::PinRequired,
        Self::SessionEnded,
        Self::OverDailyLimit,
        Self::InsufficientBalance,
        Self::UnitsNotInSteps,
        Self::PayoutPending,
        Self::UnknownPayout,
        Self::PayoutClosed,
        Self::DeliveredTooMany,
        Self::AccountCeiling,
        Self::OffsiteCopyOverdue,
        Self::UnknownMember,
        Self::UnknownStaff,
        Self::UnderAge,
        Self::CardInUse,
        Self::MemberHasCard,
        Self::DuplicateSuspected,
        Self::WrongPassword,
        Self::PreviousDayNotClosed,
        Self::DateNotLater,
        Self::DateFarFromClock,
        Self::OtherDay,
        Self::OpenPayouts,
        Self::VersionTooOld,
        Self::BadRequest,
        Self::VersionUnknown,
        Self::CommandIdReused,
        Self::CommandTooOld,
        Self::Busy,
        Self::Switching,
        Self::Restoring,
    ];

    pub fn name(self) -> &'static str {
        self.wording().0
    }

    /// What a guest or a clerk reads. Terminals show it as it is, so a test holds the words that staff know to the letter.
    fn wording(self) -> Wording {
        let shared = |name, (ja, en)| (name, ja, en);
        match self {
            Self::UnknownTerminal => shared("UNKNOWN_TERMINAL", NOT_REGISTERED),
            Self::TerminalDisabled => shared("TERMINAL_DISABLED", NOT_REGISTERED),
            Self::WrongKey => shared("WRONG_KEY", NOT_REGISTERED),
            Self::KindNotAllowed => shared("KIND_NOT_ALLOWED", NOT_REGISTERED),
            Self::CardStopped => shared("CARD_STOPPED", STOPPED),
            Self::CardVoid => shared("CARD_VOID", STOPPED),
            Self::Busy => shared("BUSY", ONE_MOMENT),
            Self::Switching => shared("SWITCHING", ONE_MOMENT),
            Self::Restoring => shared("RESTORING", ONE_MOMENT),
            Self::BadRequest => shared("BAD_REQUEST", COMMUNICATION),
            Self::VersionUnknown => shared("VERSION_UNKNOWN", COMMUNICATION),
            Self::CommandIdReused => shared("COMMAND_ID_REUSED", COMMUNICATION),
            Self::CommandTooOld => shared("COMMAND_TOO_OLD", COMMUNICATION),
            Self::VersionTooOld => shared("VERSION_TOO_OLD", SOFTWARE_OLD),
            Self::HallClosed => ("HALL_CLOSED", "営業時間外です。", "The site is closed."),
            Self::NotSignedIn => ("NOT_SIGNED_IN", "ログインしてください。", "Please sign in."),
            Self::RoleNotAllowed => ("ROLE_NOT_ALLOWED", "この操作の権限がありません。", "Your role does not allow this."),
            Self::RateTableOld => {
                ("RATE_TABLE_OLD", "設定を更新しています。しばらくお待ちください。", "Updating settings. Please wait.")
            }
            Self::WrongMedium => ("WRONG_MEDIUM", "この台では使えない種類の貯玉です。", "This kind of unit cannot be used here."),
            Self::UnknownCard => shared("UNKNOWN_CARD", CARD_NOT_REGISTERED),
            Self::MemberSuspended => (
                "MEMBER_SUSPENDED",
                "お取扱いできません。カウンターへお越しください。",
                "We cannot process this. Please come to the counter.",
            ),
            Self::WrongPin => ("WRONG_PIN", "暗証番号が違います。(あと{n}回)", "Wrong PIN. {n} tries left."),
            Self::PinLocked => (
                "PIN_LOCKED",
                "暗証番号がロックされました。カウンターへお越しください。",
                "PIN locked. Please come to the counter.",
            ),
            Self::PinNotSet => (
                "PIN_NOT_SET",
                "暗証番号が登録されていません。カウンターへお越しください。",
                "No PIN is set. Please come to the counter.",
            ),
            Self::PinRequired => ("PIN_REQUIRED", "暗証番号を入力してください。", "Please enter your PIN."),
            Self::SessionEnded => ("SESSION_ENDED", "もう一度カードを入れてください。", "Please insert your card again."),
            Self::OverDailyLimit => {
                ("OVER_DAILY_LIMIT", "本日の再プレイ上限に達しました。(残り{n})", "Today's limit is reached ({n} left).")
            }
            Self::InsufficientBalance => {
                ("INSUFFICIENT_BALANCE", "貯玉が足りません。(残り{n})", "Not enough stored units ({n} left).")
            }
            Self::UnitsNotInSteps => ("UNITS_NOT_IN_STEPS", "{n}単位で指定してください。", "Please choose a multiple of {n}."),
            Self::PayoutPending => (
                "PAYOUT_PENDING",
                "前の払出が終わっていません。係員をお呼びください。",
                "The last payout is not finished. Please call staff.",
            ),
            Self::UnknownPayout => {
                ("UNKNOWN_PAYOUT", "該当する払出がありません。係員をお呼びください。", "No such payout. Please call staff.")
            }
            Self::PayoutClosed => {
                ("PAYOUT_CLOSED", "この払出は処理済みです。係員をお呼びください。", "This payout is settled. Please call staff.")
            }
            Self::DeliveredTooMany => (
                "DELIVERED_TOO_MANY",
                "払出数が許可数を超えています。係員をお呼びください。",
                "More was delivered than authorised. Please call staff.",
            ),
            Self::AccountCeiling => (
                "ACCOUNT_CEILING",
                "お預かりの上限に達しました。残りはレシートでお渡しします。",
                "Account is full. The rest is on your receipt.",
            ),
            Self::OffsiteCopyOverdue => (
                "OFFSITE_COPY_OVERDUE",
                "ただいま預入を停止しています。レシートをお取りください。",
                "Deposits are paused. Please take your receipt.",
            ),
            Self::UnknownMember => ("UNKNOWN_MEMBER", "該当する会員がいません。", "No such member."),
            Self::UnknownStaff => ("UNKNOWN_STAFF", "該当する従業員がいません。", "No such member of staff."),
            Self::UnderAge => ("UNDER_AGE", "{n}歳未満の方は登録できません。", "Members must be {n} or older."),
            Self::CardInUse => ("CARD_IN_USE", "このカードは登録済みです。", "This card is already registered."),
            Self::MemberHasCard => {
                ("MEMBER_HAS_CARD", "この会員には有効なカードがあります。", "This member already has an active card.")
            }
            Self::DuplicateSuspected => (
                "DUPLICATE_SUSPECTED",
                "同じ方が登録済みの可能性があります。ご確認ください。",
                "This person may already be a member. Please check.",
            ),
            Self::WrongPassword => {
                ("WRONG_PASSWORD", "従業員番号またはパスワードが違います。", "Wrong staff number or password.")
            }
            Self::PreviousDayNotClosed => {
                ("PREVIOUS_DAY_NOT_CLOSED", "前の営業日の閉店処理が終わっていません。", "The previous day is not closed.")
            }
            Self::DateNotLater => {
                ("DATE_NOT_LATER", "前の営業日より後の日付にしてください。", "The date must be later than the last day.")
            }
            Self::DateFarFromClock => (
                "DATE_FAR_FROM_CLOCK",
                "日付が時計と離れています。よろしければ確認してください。",
                "The date is far from the clock. Please confirm.",
            ),
            Self::OtherDay => ("OTHER_DAY", "指定の日付は現在の営業日ではありません。", "That is not the current business day."),
            Self::OpenPayouts => ("OPEN_PAYOUTS", "未完了の払出が{n}件あります。", "{n} payouts are not finished."),
        }
    }

    fn status(self) -> Status {
        match self {
            Self::Busy | Self::Switching | Self::Restoring => Status::Retry,
            _ => Status::Rejected,
        }
    }
}

/// A code with what its answer says beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    /// Fills `{n}`.
    pub n: i64,
    /// A JSON object as text.
    pub body: String,
}

impl Refusal {
    /// A refusal whose text counts something: `{n}` in the texts, `name` in the body.
    pub fn counting<T: Serialize>(code: Code, n: i64, body: &T) -> Self {
        Self { code, n, body: json(body) }
    }

    pub fn with<T: Serialize>(code: Code, body: &T) -> Self {
        Self::counting(code, 0, body)
    }

    pub fn response(&self) -> Response {
        let (name, ja, en) = self.code.wording();
        let n = self.n.to_string();
        let fill = |text: &str| text.replace("{n}", &n).replace("{code}", name);
        Response { status: self.code.status(), code: name.into(), text_ja: fill(ja), text_en: fill(en), body: self.body.clone() }
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, n: 0, body: "{}".into() }
    }
}

/// The answer for a refusal that the pair's own code gives.
pub fn of_pair(code: PairCode) -> Response {
    #[derive(Serialize)]
    struct What {
        field: String,
        reason: String,
    }
    let code = match code {
        PairCode::BadRequest(bad) => {
            return Refusal::with(Code::BadRequest, &What { field: bad.field, reason: bad.reason }).response();
        }
        PairCode::VersionUnknown => Code::VersionUnknown,
        PairCode::CommandIdReused => Code::CommandIdReused,
        PairCode::CommandTooOld => Code::CommandTooOld,
        PairCode::Busy => Code::Busy,
        PairCode::Switching => Code::Switching,
        PairCode::Restoring => Code::Restoring,
    };
    Refusal::from(code).response()
}

/// The body of an answer.
pub fn json<T: Serialize>(body: &T) -> String {
    serde_json::to_string(body).expect("an answer holds only strings, numbers and lists of them")
}
