//! The OpenAPI document, made from the routes.
use http::StatusCode;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::admin::dashboard::LOGIN;
use crate::admin::failure::FailureBody;
use crate::admin::route::{Described, Route, SchemaOf};
use crate::admin::sessions;
use crate::admin::sign_in::{LOGOUT, SignIn};

/// The path of the document.
pub(super) const PATH: &str = "/api/openapi.json";

/// Returns the document of these routes.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route);
    }
    paths.insert(PATH.to_owned(), json!({ "get": own() }));
    paths.insert(LOGIN.to_owned(), json!({ "post": sign_in() }));
    paths.insert(LOGOUT.to_owned(), json!({ "post": sign_out() }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The state and the operation of a running gateway. Every answer has `cache-control: no-store`. A write needs `if-match`, and is recorded in the audit table.",
        },
        "security": [{ "token": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": sessions::NAME },
            },
            "responses": { "Error": failure() },
        },
    })
}

/// Describes the route of the document itself.
fn own() -> Value {
    json!({
        "operationId": "get_openapi",
        "summary": "Returns this document.",
        "responses": {
            "200": { "description": "OK", "content": { "application/json": { "schema": { "type": "object" } } } },
            "default": { "$ref": "#/components/responses/Error" },
        },
    })
}

fn sign_in() -> Value {
    json!({
        "operationId": "post_login",
        "summary": "Begins a session for a browser: exchanges the token for a cookie.",
        "security": [],
        "requestBody": {
            "content": { "application/json": { "schema": asked(SignIn::json_schema) } },
        },
        "responses": {
            "204": { "description": "No Content" },
            "default": { "$ref": "#/components/responses/Error" },
        },
    })
}

fn sign_out() -> Value {
    json!({
        "operationId": "post_logout",
        "summary": "Ends the session of the cookie, if it has one.",
        "security": [],
        "responses": {
            "204": { "description": "No Content" },
            "default": { "$ref": "#/components/responses/Error" },
        },
    })
}

fn failure() -> Value {
    let schema = answered(FailureBody::json_schema);
    json!({
        "description": "An error. `field`, `expected` and `found` describe a wrong value.",
        "content": { "application/json": { "schema": schema } },
    })
}

fn operation(route: &Route) -> Value {
    let mut responses: Map<String, Value> = Map::new();
    for answer in &route.answers {
        responses.insert(answer.status.to_string(), response(answer));
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Error" }));
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": responses,
    });
    if let Some(schema) = route.body {
        operation["requestBody"] = json!({
            "content": { "application/json": { "schema": asked(schema) } },
        });
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/").replace(['/', '-'], "_");
    let path = path.replace(['{', '}'], "");
    format!("{}_{path}", route.method.as_str().to_lowercase())
}

fn response(answer: &Described) -> Value {
    let status = StatusCode::from_u16(answer.status).ok();
    let description = status.and_then(|it| it.canonical_reason()).unwrap_or("OK");
    if answer.media_type.is_empty() {
        return json!({ "description": description });
    }
    let schema = answer.schema.map_or_else(|| json!({ "type": "string" }), answered);
    json!({ "description": description, "content": { answer.media_type: { "schema": schema } } })
}

fn parameters(route: &Route) -> Vec<Value> {
    let names = route.path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
    let in_path = names.map(
        |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
    );
    let mut all: Vec<Value> = in_path.collect();
    if let Some(schema) = route.query.map(asked) {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let mut field = field.clone();
            let description = field.as_object_mut().and_then(|it| it.remove("description"));
            let is_required = required.iter().any(|it| it == name);
            all.push(json!({
                "name": name, "in": "query", "required": is_required, "schema": field,
                "description": description.unwrap_or_default(),
            }));
        }
    }
    if route.is_write() {
        all.push(json!({
            "name": "If-Match", "in": "header", "required": true, "schema": { "type": "string" },
            "description": "The `etag` of the resource, or `*`.",
        }));
    }
    all
}

/// Returns the schema of a type that the gateway writes.
fn answered(schema: SchemaOf) -> Value {
    written(schema, settings().for_serialize())
}

/// Returns the schema of a type that the gateway reads.
fn asked(schema: SchemaOf) -> Value {
    written(schema, settings().for_deserialize())
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true)
}

fn written(schema: SchemaOf, settings: SchemaSettings) -> Value {
    let mut generator = SchemaGenerator::new(settings);
    let mut schema: Schema = schema(&mut generator);
    schema.remove("title");
    schema.into()
}
