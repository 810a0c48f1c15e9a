//! How keys are called in texts.

use serde_json::Value as Json;

/// A key as text: `EWR`, `AA, JFK`.
pub(super) fn key_to_text(key: &Json) -> String {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), |text| text.escape_debug().to_string());
    match key {
        Json::Array(values) if values.is_empty() => String::from("(all)"),
        Json::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        _ => text(key),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_told_by_their_parts() {
        assert_eq!(
            [json!([]), json!(["EWR", 1]), json!("a\nb")].map(|key| key_to_text(&key)),
            ["(all)", "EWR, 1", "a\\nb"]
        );
    }
}
