//! Lines of output, put together by hand.

use eventflux_core::Value;

use super::values::number;

pub fn line(operator: &str, key_fields: &[String], key: &[Value], members: &[(String, String)]) -> String {
    let key: Vec<String> = key_fields.iter().zip(key).map(|(field, value)| member(field, &key_value(value))).collect();
    let mut line = format!("{{\"operator\":{},\"key\":{{{}}}", text(operator), key.join(","));
    for (name, value) in members {
        line.push(',');
        line.push_str(&member(name, value));
    }
    line.push('}');
    line
}

pub fn member(name: &str, value: &str) -> String {
    format!("{}:{value}", text(name))
}

pub fn text(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(bool) => bool.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Float(float) if *float == 0.0 => "0.0".into(),
        // The shortest digits that give the same number back.
        Value::Float(float) => serde_json::to_string(float).unwrap(),
        Value::Str(string) => text(string.as_str()),
    }
}

/// Numbers of equal value are one key, and a whole one is written whole.
fn key_value(of: &Value) -> String {
    match of {
        Value::Float(float) if float.fract() == 0.0 && float.abs() < 1e15 => value(&Value::Int(number(of) as i64)),
        _ => value(of),
    }
}
