//! Examples of the OpenAPI document's components, taken from those of its operations: so that what a tool
//! makes of a schema alone looks like this shop, and not like the first text that a pattern allows.
//!
//! Must not know the handlers.

use serde_json::Value;
use utoipa::openapi::content::Content;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::ArrayItems;
use utoipa::openapi::{OpenApi, RefOr, Schema};

const COMPONENTS: &str = "#/components/schemas/";

/// Gives each component that an operation shows the first example of it.
pub fn illustrate(document: &mut OpenApi) {
    let mut shown: Vec<(RefOr<Schema>, Value)> = Vec::new();
    for item in document.paths.paths.values() {
        let operations = [&item.get, &item.put, &item.post, &item.delete];
        shown.extend(operations.into_iter().flatten().flat_map(examples_of));
    }
    let Some(components) = &mut document.components else { return };
    while let Some((schema, example)) = shown.pop() {
        match schema {
            RefOr::Ref(reference) => {
                let name = reference.ref_location.strip_prefix(COMPONENTS).unwrap_or_default();
                let Some(component) = components.schemas.get_mut(name) else { continue };
                set_example(component, &example);
                // A part that is null in one example is there in another.
                if let RefOr::T(schema) = component.clone() {
                    shown.extend(parts_of(schema, &example));
                }
            }
            RefOr::T(schema) => shown.extend(parts_of(schema, &example)),
        }
    }
}

/// Returns each schema of the operation's bodies that has an example, with that.
fn examples_of(operation: &Operation) -> Vec<(RefOr<Schema>, Value)> {
    let mut contents: Vec<&RefOr<Content>> = Vec::new();
    if let Some(RefOr::T(body)) = &operation.request_body {
        contents.extend(body.content.values());
    }
    for response in operation.responses.responses.values() {
        if let RefOr::T(response) = response {
            contents.extend(response.content.values());
        }
    }
    let shown = contents.into_iter().filter_map(|content| {
        let RefOr::T(Content { schema, example, examples, .. }) = content else { return None };
        let named = examples.values().find_map(|example| match example {
            RefOr::T(example) => example.value.clone(),
            RefOr::Ref(_) => None,
        });
        Some((schema.clone()?, example.clone().or(named)?))
    });
    shown.collect()
}

/// Returns the schemas within a schema, each with its part of the example.
fn parts_of(schema: Schema, example: &Value) -> Vec<(RefOr<Schema>, Value)> {
    match schema {
        Schema::Object(object) => {
            let properties = object.properties.into_iter();
            properties
                .filter_map(|(name, property)| Some((property, example.get(name)?.clone())))
                .collect()
        }
        Schema::Array(array) => match (array.items, example.get(0)) {
            (ArrayItems::RefOrSchema(element), Some(example)) => {
                vec![(*element, example.clone())]
            }
            _ => Vec::new(),
        },
        Schema::OneOf(one_of) if !example.is_null() => {
            one_of.items.into_iter().map(|schema| (schema, example.clone())).collect()
        }
        // The example has more than the component that it extends.
        Schema::AllOf(all_of) => {
            let own = all_of.items.into_iter().filter(|schema| matches!(schema, RefOr::T(_)));
            own.map(|schema| (schema, example.clone())).collect()
        }
        _ => Vec::new(),
    }
}

/// Sets the component's example if it has none.
fn set_example(component: &mut RefOr<Schema>, example: &Value) {
    let examples = match component {
        RefOr::T(Schema::Object(object)) => &mut object.examples,
        RefOr::T(Schema::AllOf(all_of)) => &mut all_of.examples,
        _ => return,
    };
    if examples.is_empty() {
        examples.push(example.clone());
    }
}
