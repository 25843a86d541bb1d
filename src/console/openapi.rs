//! The interface's description, OpenAPI 3.1: the written document, and the bodies of the commands as the ledger documents them.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::ledger::commands::bodies::{BODIES, Body, Field, Kind};

const WRITTEN: &str = include_str!("openapi.json");

/// As it is served.
pub static OPENAPI: LazyLock<String> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(WRITTEN).expect("the written document is JSON: a test reads it");
    let names: Vec<_> = BODIES.iter().map(|body| body.command).collect();
    let bodies: Vec<_> =
        names.iter().map(|name| json!({ "$ref": format!("#/components/schemas/{}", schema_name(name)) })).collect();
    let schemas = &mut document["components"]["schemas"];
    schemas["Command"]["properties"]["command"] = json!({ "type": "string", "enum": names });
    schemas["Command"]["properties"]["body"] = json!({ "anyOf": bodies, "description": "As the command asks for." });
    for body in &BODIES {
        schemas[schema_name(body.command)] = described(object(body.fields), body.about);
    }
    let content = &mut document["paths"]["/api/v1/commands"]["post"]["requestBody"]["content"]["application/json"];
    content["examples"] = BODIES.iter().map(|body| (body.command.to_owned(), example(body))).collect::<Map<_, _>>().into();
    document.to_string()
});

/// No schema of the written document has such a name.
fn schema_name(command: &str) -> String {
    format!("body_of_{command}")
}

/// A whole request.
fn example(body: &Body) -> Value {
    let inner: Value = serde_json::from_str(body.example).expect("every example is parsed in a test");
    let command_id = "00112233445566778899aabbccddeeff";
    let request =
        json!({ "v": 1, "terminal_id": "seat-1", "key": "…", "command_id": command_id, "command": body.command, "body": inner });
    json!({ "summary": body.about, "value": request })
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<_, _> = fields.iter().map(|field| (field.name.to_owned(), schema(field))).collect();
    let needed: Vec<_> = fields.iter().filter(|field| field.needed).map(|field| field.name).collect();
    json!({ "type": "object", "properties": properties, "required": needed, "additionalProperties": false })
}

fn schema(field: &Field) -> Value {
    let schema = match field.kind {
        Kind::Text(most) => json!({ "type": "string", "minLength": 1, "maxLength": most }),
        Kind::Id(most) => json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": "^[!-~]+$" }),
        Kind::Date => json!({ "type": "string", "format": "date" }),
        Kind::Pin => json!({ "type": "string", "pattern": "^[0-9]{4}$" }),
        Kind::Integer(least, most) => json!({ "type": "integer", "format": "int64", "minimum": least, "maximum": most }),
        Kind::Flag => json!({ "type": "boolean", "default": false }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Texts(most, chars) => {
            json!({ "type": "array", "maxItems": most, "items": { "type": "string", "minLength": 1, "maxLength": chars } })
        }
        Kind::Object(fields) => object(fields),
        Kind::Objects(most, fields) => json!({ "type": "array", "maxItems": most, "items": object(fields) }),
    };
    described(schema, field.about)
}

fn described(mut schema: Value, about: &str) -> Value {
    if !about.is_empty() {
        schema["description"] = about.into();
    }
    schema
}
