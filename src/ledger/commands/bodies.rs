//! What the body of each command holds, for whoever writes a terminal: `duplex terminal --help` and the OpenAPI document show it.
//! Tests hold it against what [`super::Command::parse`] takes, field by field.

use std::fmt;

use crate::ledger::fields::{Number, Units};

/// The body of one command.
#[derive(Debug)]
pub struct Body {
    pub command: &'static str,
    pub about: &'static str,
    pub fields: &'static [Field],
    /// A whole body, as JSON.
    pub example: &'static str,
}

#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub needed: bool,
    /// What its name does not say; may be empty.
    pub about: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// 1 to so many characters, none of them a control character.
    Text(usize),
    /// 1 to so many ASCII characters that can be seen: no spaces.
    Id(usize),
    /// `YYYY-MM-DD`, of the years 1900 to 2199.
    Date,
    /// Four digits.
    Pin,
    /// Least and most.
    Integer(i64, i64),
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// At most so many texts, each of 1 to so many characters.
    Texts(usize, usize),
    Object(&'static [Field]),
    /// At most so many objects.
    Objects(usize, &'static [Field]),
}

const fn needed(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, needed: true, about }
}

const fn may(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, needed: false, about }
}

const ID: Kind = Kind::Id(32);
const TOKEN: Kind = Kind::Id(512);
const NUMBER: Kind = Kind::Integer(1, Number::MAX);
const UNITS: Kind = Kind::Integer(1, Units::MAX);

const SOFTWARE: Field = may("software", Kind::Text(64), "name and version of the terminal's own, the version last");
const TABLE_HELD: Field = may("rate_table_ver", Kind::Integer(i64::MIN, i64::MAX), "of the rate table that the terminal holds");
const FAULTS: Field = may("fault_codes", Kind::Texts(16, 32), "what is wrong with the terminal now");

const PERSON: &[Field] = &[
    may("name", Kind::Text(60), "needed unless the member is provisional and has a card"),
    may("kana", Kind::Text(60), "needed unless the member is provisional"),
    may("birth_date", Kind::Date, "needed unless the member is provisional"),
    may("sex", Kind::Text(16), ""),
    may("postal", Kind::Text(16), ""),
    may("address", Kind::Text(200), ""),
    may("phone", Kind::Text(24), ""),
    may("email", Kind::Text(254), ""),
    may("dm_ok", Kind::Flag, "may be written to"),
];

const OPENING: &[Field] = &[needed("rate_id", NUMBER, ""), needed("units", UNITS, "")];

const ROW: &[Field] = &[
    needed("person", Kind::Object(PERSON), ""),
    needed("card_id", ID, ""),
    may("pin", Kind::Pin, ""),
    may(
        "opening",
        Kind::Objects(1_024, OPENING),
        "balances that the member brings along, one for each rate; so many in the whole command",
    ),
];

/// For people.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(most) => write!(f, "text, 1 to {most} characters"),
            Self::Id(most) => write!(f, "text, 1 to {most} ASCII letters, digits or signs"),
            Self::Date => f.write_str("date, YYYY-MM-DD, 1900 to 2199"),
            Self::Pin => f.write_str("text, four digits"),
            Self::Integer(i64::MIN, i64::MAX) => f.write_str("integer"),
            Self::Integer(least, most) => write!(f, "integer, {least} to {most}"),
            Self::Flag => f.write_str("true or false"),
            Self::Word(words) => write!(f, "{}", words.join(" or ")),
            Self::Texts(most, chars) => write!(f, "list of at most {most} texts, 1 to {chars} characters each"),
            Self::Object(_) => f.write_str("object"),
            Self::Objects(most, _) => write!(f, "list of at most {most} objects"),
        }
    }
}

/// In the order of [`super::TABLE`].
pub static BODIES: [Body; 15] = [
    Body {
        command: "hello",
        about: "A terminal begins: settings, day and rate table. Commands that deal in units carry its rate_table_ver.",
        fields: &[SOFTWARE, TABLE_HELD, FAULTS],
        example: r#"{"software":"seat 1.4"}"#,
    },
    Body {
        command: "heartbeat",
        about: "A terminal lives; it is given the rate table if it holds another one.",
        fields: &[SOFTWARE, TABLE_HELD, FAULTS],
        example: r#"{"rate_table_ver":1,"fault_codes":["E12"]}"#,
    },
    Body {
        command: "sign_in",
        about: "A member of staff signs in; the answer's staff_session goes into later commands.",
        fields: &[needed("staff_id", ID, ""), needed("password", Kind::Text(128), "")],
        example: r#"{"staff_id":"manager","password":"secret"}"#,
    },
    Body {
        command: "open_day",
        about: "The business day begins.",
        fields: &[needed("date", Kind::Date, ""), may("confirm", Kind::Flag, "the date is far from the clock, and is meant")],
        example: r#"{"date":"2026-11-24"}"#,
    },
    Body {
        command: "begin_close",
        about: "No new payouts from here on; deposits go on.",
        fields: &[needed("date", Kind::Date, "")],
        example: r#"{"date":"2026-11-24"}"#,
    },
    Body {
        command: "close_day",
        about: "The business day ends.",
        fields: &[needed("date", Kind::Date, "")],
        example: r#"{"date":"2026-11-24"}"#,
    },
    Body {
        command: "register_member",
        about: "Somebody becomes a member, with a card or without.",
        fields: &[
            needed("person", Kind::Object(PERSON), ""),
            may("card_id", ID, ""),
            may("pin", Kind::Pin, "only with card_id"),
            may("id_checked_by", ID, "staff_id of who saw the papers; without, the member is provisional"),
            may("allow_duplicate", Kind::Flag, "somebody has compared the duplicates that were suspected"),
        ],
        example: r#"{"person":{"name":"山田 太郎","kana":"ヤマダ タロウ","birth_date":"1980-02-29"},"card_id":"C00000001","pin":"0123"}"#,
    },
    Body {
        command: "import_members",
        about: "Members of an earlier system, all of the rows or none.",
        fields: &[
            needed("rows", Kind::Objects(256, ROW), "no card twice"),
            may("check_only", Kind::Flag, "say which rows would be refused, and change nothing"),
        ],
        example: r#"{"rows":[{"person":{"name":"山田 太郎","kana":"ヤマダ タロウ","birth_date":"1980-02-29"},"card_id":"C00000001","pin":"0123","opening":[{"rate_id":1,"units":500}]}]}"#,
    },
    Body {
        command: "issue_card",
        about: "A member is given a card.",
        fields: &[
            needed("member_no", NUMBER, ""),
            needed("card_id", ID, ""),
            may("pin", Kind::Pin, ""),
            may("temporary", Kind::Flag, "lent until the end of the day"),
            may("reason", Kind::Text(200), ""),
        ],
        example: r#"{"member_no":1,"card_id":"C00000002","pin":"4321","reason":"the old one was lost"}"#,
    },
    Body {
        command: "stop_card",
        about: "A card is kept from use.",
        fields: &[
            may("card_id", ID, "this or member_no"),
            may("member_no", NUMBER, "this or card_id: the member's regular card"),
            may("lost", Kind::Flag, "reported lost"),
            needed("reason", Kind::Text(200), ""),
        ],
        example: r#"{"card_id":"C00000001","lost":true,"reason":"reported at the counter"}"#,
    },
    Body {
        command: "authenticate",
        about: "A card was put in; the answer's session goes into later commands.",
        fields: &[needed("card_id", ID, ""), may("pin", Kind::Pin, "not needed to deposit or to look")],
        example: r#"{"card_id":"C00000001","pin":"0123"}"#,
    },
    Body {
        command: "get_balance",
        about: "What a member has, rate by rate.",
        fields: &[
            may("session", TOKEN, "exactly one of these three"),
            may("card_id", ID, "exactly one of these three"),
            may("member_no", NUMBER, "exactly one of these three"),
        ],
        example: r#"{"card_id":"C00000001"}"#,
    },
    Body {
        command: "deposit",
        about: "Units that a machine has swallowed go into the member's account.",
        fields: &[
            may("card_id", ID, "this or session"),
            may("session", TOKEN, "this or card_id"),
            needed("rate_id", NUMBER, ""),
            needed("units", UNITS, ""),
            may("origin", Kind::Word(&["earned", "sold"]), "default earned; sold for cash is prepaid value"),
        ],
        example: r#"{"card_id":"C00000001","rate_id":1,"units":500}"#,
    },
    Body {
        command: "authorise_payout",
        about: "Units leave the account, to be delivered by the machine; the answer's payout_id completes it.",
        fields: &[needed("session", TOKEN, ""), needed("rate_id", NUMBER, ""), needed("units", UNITS, "")],
        example: r#"{"session":"from-authenticate","rate_id":1,"units":125}"#,
    },
    Body {
        command: "complete_payout",
        about: "The machine has delivered: all, less, or nothing.",
        fields: &[
            needed("payout_id", NUMBER, ""),
            needed("delivered", Kind::Integer(0, Units::MAX), "what is missing goes back; 0 cancels"),
        ],
        example: r#"{"payout_id":1,"delivered":125}"#,
    },
];
