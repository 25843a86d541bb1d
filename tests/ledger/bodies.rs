//! What is documented of the commands' bodies is what they take, field by field.

use std::collections::BTreeSet;

use duplex::ledger::commands::bodies::{BODIES, Body, Field, Kind};
use duplex::ledger::commands::{Command, names, sign_in};
use duplex::model::Bad;
use serde_json::{Value, json};

/// As a body from outside is read: of `sign_in`, the password is taken out on the way.
fn parse(command: &str, body: &Value) -> Result<(), Bad> {
    let text = body.to_string();
    let text = if command == "sign_in" { sign_in::without_password(&text)? } else { text };
    Command::parse(command, &text).map(drop)
}

fn example(body: &Body) -> Value {
    serde_json::from_str(body.example).unwrap()
}

/// The objects of a body, each with the fields that lead to it and whether that is a list.
struct Object {
    path: Vec<(&'static str, bool)>,
    fields: &'static [Field],
}

impl Object {
    /// Itself, and every object in it.
    fn all(self) -> Vec<Self> {
        let inner = self.fields.iter().filter_map(|field| match field.kind {
            Kind::Object(fields) => Some((field.name, false, fields)),
            Kind::Objects(_, fields) => Some((field.name, true, fields)),
            _ => None,
        });
        let inner = inner.map(|(name, is_list, fields)| Self { path: [&self.path[..], &[(name, is_list)]].concat(), fields });
        let inner: Vec<Self> = inner.flat_map(Self::all).collect();
        std::iter::once(self).chain(inner).collect()
    }

    /// A whole body in which this object is `value`.
    fn body(&self, value: Value) -> Value {
        let wrap =
            |value, (name, is_list): &(&str, bool)| if *is_list { json!({ *name: [value] }) } else { json!({ *name: value }) };
        self.path.iter().rev().fold(value, wrap)
    }
}

/// Every object of every command's body.
fn objects() -> impl Iterator<Item = (&'static str, Object)> {
    let whole = |body: &'static Body| Object { path: Vec::new(), fields: body.fields };
    BODIES.iter().flat_map(move |body| whole(body).all().into_iter().map(|object| (body.command, object)))
}

/// Values that do not belong there.
fn wrong(kind: Kind) -> Vec<Value> {
    let text = |chars: usize| json!("x".repeat(chars));
    match kind {
        Kind::Text(most) => vec![json!(1), text(0), text(most + 1), json!("a\tb")],
        Kind::Id(most) => vec![json!(1), text(0), json!("x".repeat(most + 1)), json!("C 1"), json!("山田")],
        Kind::Date => vec![json!(1), json!("2026-02-29"), json!("1899-12-31"), json!("2200-01-01")],
        Kind::Pin => vec![json!(1234), json!("123"), json!("12345")],
        Kind::Integer(i64::MIN, i64::MAX) => vec![json!("1")],
        Kind::Integer(least, most) => vec![json!("1"), json!(least - 1), json!(most + 1)],
        Kind::Flag => vec![json!("yes")],
        Kind::Word(_) => vec![json!("nosuch")],
        Kind::Texts(most, chars) => vec![json!("x"), json!([text(chars + 1)]), json!(vec!["x"; most + 1])],
        Kind::Object(_) => vec![json!(1)],
        Kind::Objects(..) => vec![json!(1), json!([1])],
    }
}

/// The ends of what belongs there.
fn right(kind: Kind) -> Vec<Value> {
    match kind {
        Kind::Text(most) => vec![json!("x"), json!("x".repeat(most))],
        Kind::Id(most) => vec![json!("x"), json!("!~".repeat(most / 2))],
        Kind::Integer(least, most) => vec![json!(least), json!(most)],
        Kind::Word(words) => words.iter().map(|word| json!(word)).collect(),
        Kind::Texts(most, chars) => vec![json!(vec!["x".repeat(chars); most])],
        Kind::Date => vec![json!("1900-01-01"), json!("2199-12-31")],
        Kind::Pin => vec![json!("0123")],
        Kind::Flag => vec![json!(true), json!(false)],
        // Their fields are visited by themselves.
        Kind::Object(_) | Kind::Objects(..) => vec![],
    }
}

#[test]
fn every_command_is_documented_once_and_its_example_is_taken() {
    assert_eq!(BODIES.iter().map(|body| body.command).collect::<Vec<_>>(), names());
    for body in &BODIES {
        assert_eq!(parse(body.command, &example(body)), Ok(()), "{}", body.command);
    }
}

#[test]
fn every_field_that_a_body_takes_is_documented_and_no_other() {
    for (command, object) in objects() {
        let refused = parse(command, &object.body(json!({ "nosuch": 1 }))).unwrap_err();
        // serde names what it expected, each between backticks, after the field that it does not know.
        let known: BTreeSet<&str> = refused.reason.split('`').skip(1).step_by(2).filter(|name| *name != "nosuch").collect();
        assert_eq!(known, object.fields.iter().map(|field| field.name).collect(), "{command}: {}", refused.reason);
    }
}

#[test]
fn each_fields_type_and_bounds_are_those_documented() {
    for (command, object) in objects() {
        for field in object.fields {
            let refused = |value: &Value| parse(command, &object.body(json!({ field.name: value }))).err();
            // Other fields may be missing; that is no matter of this one.
            let is_blamed = |bad: &Bad| bad.field.contains(field.name) && !bad.reason.starts_with("missing field");
            for value in wrong(field.kind) {
                assert!(refused(&value).as_ref().is_some_and(is_blamed), "{command}: {} {value} was taken", field.name);
            }
            for value in right(field.kind) {
                let bad = refused(&value)
                    .filter(|bad| is_blamed(bad) && !bad.reason.starts_with("give ") && !bad.reason.contains(" card_id"));
                assert_eq!(bad, None, "{command}: {} {value}", field.name);
            }
        }
    }
}

#[test]
fn what_is_needed_is_missed_and_what_is_not_is_not() {
    for body in &BODIES {
        for field in body.fields {
            let mut without = example(body);
            without.as_object_mut().unwrap().remove(field.name);
            let missed = format!("missing field `{}`", field.name);
            let refused = parse(body.command, &without).err();
            let is_missed = refused.as_ref().is_some_and(|bad| bad.reason.starts_with(&missed));
            assert_eq!(is_missed, field.needed, "{}: {} {refused:?}", body.command, field.name);
        }
    }
}

#[test]
fn what_was_expected_is_said_in_no_programming_languages_words() {
    let deposit = |units: Value| parse("deposit", &json!({ "card_id": "C1", "rate_id": 1, "units": units })).unwrap_err();
    assert!(deposit(json!("1")).reason.starts_with("invalid type: string \"1\", expected an integer at line 1"));
    assert!(deposit(json!("x, expected i64")).reason.contains("\"x, expected i64\", expected an integer"));
    assert!(deposit(json!(1.5)).reason.contains(", expected an integer"));
    for (command, object) in objects() {
        let values =
            object.fields.iter().flat_map(|field| wrong(field.kind).into_iter().map(|value| json!({ field.name: value })));
        for refused in values.chain([json!(7)]).filter_map(|value| parse(command, &object.body(value)).err()) {
            let foreign = ["i64", "i32", "u64", "u32", "u16", "u8", "struct", "enum", "sequence", "boolean"];
            let told = foreign.into_iter().find(|word| {
                refused.reason.contains(&format!("expected {word}")) || refused.reason.contains(&format!("a {word}"))
            });
            assert_eq!(told, None, "{command}: {refused:?}");
        }
    }
}
