//! The OpenAPI document says what there is, and nothing else.

use std::collections::BTreeSet;

use duplex::console::{OPENAPI, ROUTES};
use serde_json::Value;

use super::house::House;

fn document() -> Value {
    serde_json::from_str(&OPENAPI).unwrap()
}

/// A reference within the document, or the thing itself.
fn resolve<'a>(document: &'a Value, found: &'a Value) -> &'a Value {
    match found["$ref"].as_str() {
        Some(path) => document.pointer(path.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("nothing at {path}")),
        None => found,
    }
}

#[test]
fn it_is_served_as_it_is() {
    let heard = House::sqlite().get("/api/v1/openapi.json");
    assert_eq!((heard.status, heard.header("Content-Type"), heard.json()), (200, "application/json", document()));
}

#[test]
fn it_lists_every_route_and_no_other() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let listed: BTreeSet<(&str, &str)> = paths
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| (method.as_str(), path.as_str())))
        .collect();
    assert_eq!(listed, BTreeSet::from(ROUTES));
}

#[test]
fn every_route_that_it_lists_is_there() {
    let house = House::sqlite();
    for (method, path) in ROUTES {
        let path = path.replace("{no}", "1").replace("{date}", "2026-07-01");
        let heard = if method == "post" { house.post(&path, b"{") } else { house.read(&path) };
        assert!(![404, 405].contains(&heard.status), "{method} {path}: {}", heard.status);
    }
}

#[test]
fn every_parameter_that_it_describes_is_taken() {
    let (house, document) = (House::sqlite(), document());
    for (_, path) in ROUTES.iter().filter(|(method, _)| *method == "get") {
        for parameter in document["paths"][path]["get"]["parameters"].as_array().unwrap_or(&Vec::new()) {
            let parameter = resolve(&document, parameter);
            let name = parameter["name"].as_str().unwrap();
            let example = match &parameter["example"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let path = path.replace("{no}", "1").replace("{date}", "2026-07-01");
            let heard = match parameter["in"].as_str() {
                Some("query") => house.read(&format!("{path}?{name}={example}")),
                Some("header") => house.read_with(&path, &[(name, &example)]),
                _ => continue,
            };
            assert_ne!(heard.status, 400, "{path}: {name}={example}: {}", heard.body);
        }
    }
}

#[test]
fn what_status_and_reads_answer_is_described_field_by_field() {
    let (house, document) = (House::sqlite(), document());
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let schema = |name: &str| keys(&document["components"]["schemas"][name]["properties"]);
    assert_eq!(keys(&house.get("/api/v1/status").json()), schema("Status"));
    for (path, name) in [
        ("members", "Member"),
        ("members/1", "Member"),
        ("accounts", "Account"),
        ("ledger", "LedgerRow"),
        ("days/2026-07-01/totals", "Total"),
    ] {
        assert_eq!(keys(&house.read(&format!("/api/v1/{path}")).rows()[0]), schema(name), "{path}");
    }
}

#[test]
fn it_shows_every_commands_body_with_an_example() {
    let document = document();
    let content = &document["paths"]["/api/v1/commands"]["post"]["requestBody"]["content"]["application/json"];
    for name in duplex::ledger::commands::names() {
        let schema = &document["components"]["schemas"][format!("body_of_{name}")];
        let body = content["examples"][name]["value"]["body"].as_object().unwrap();
        assert!(body.keys().all(|field| schema["properties"][field].is_object()), "{name}: {schema}");
    }
    let deposit = &document["components"]["schemas"]["body_of_deposit"];
    assert_eq!(
        (&deposit["required"], &deposit["properties"]["units"]["minimum"]),
        (&serde_json::json!(["rate_id", "units"]), &1.into())
    );
}

#[test]
fn every_reference_in_it_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        resolve(document, value);
        match value {
            Value::Object(fields) => fields.values().for_each(|value| walk(document, value)),
            Value::Array(items) => items.iter().for_each(|value| walk(document, value)),
            _ => {}
        }
    }
    walk(&document(), &document());
}
