//! Values as people read them: `flights: 917, mean_air: 229.277`.

use eventflux_core::StateKind;
use serde_json::{Map, Value as Json};

use crate::clock::to_rfc3339;

/// Significant digits of a number that is not whole.
const DIGITS: i32 = 6;
/// Members that are times, in milliseconds.
const TIMES: [&str; 3] = ["window_start", "window_end", "timestamp"];
/// Members that go in front of others.
const FIRST: [&str; 5] = ["window_start", "window_end", "id", "timestamp", "results"];
/// Members by which an item of a list is known when it changes.
const IDENTITIES: [&str; 2] = ["window_start", "id"];

/// How values of a state are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Teller {
    /// Whether the members are those of our states: a `timestamp` of a program's own values may be in seconds.
    ours: bool,
}

impl Teller {
    pub(super) fn of(kind: StateKind) -> Self {
        Teller { ours: kind != StateKind::Values }
    }

    /// A value; the members of an object without braces.
    pub(super) fn value_to_text(&self, value: &Json) -> String {
        match value {
            Json::Object(members) => self.members_to_text(members),
            value => self.nested(value),
        }
    }

    /// What of a value changed: lines with their sign, `+`, `-`, or ` ` for members that changed.
    pub(super) fn changes(&self, before: &Json, after: &Json) -> Vec<(char, String)> {
        let mut lines = Vec::new();
        let mut members = Vec::new();
        self.collect("", before, after, &mut members, &mut lines);
        if !members.is_empty() {
            lines.insert(0, (' ', members.join(", ")));
        }
        lines
    }

    fn collect(
        &self,
        path: &str,
        before: &Json,
        after: &Json,
        members: &mut Vec<String>,
        lines: &mut Vec<(char, String)>,
    ) {
        match (before, after) {
            _ if before == after => {}
            (Json::Object(old), Json::Object(new)) if old.keys().eq(new.keys()) => {
                for (name, old) in old {
                    self.collect(name, old, &new[name], members, lines);
                }
            }
            (Json::Array(old), Json::Array(new)) if old.iter().chain(new).all(Json::is_object) => {
                self.collect_items(path, old, new, lines);
            }
            _ => {
                let (mut old, mut new) = (self.member(path, before), self.member(path, after));
                if old == new {
                    // They differ in digits that are not shown.
                    (old, new) = (before.to_string(), after.to_string());
                }
                members.push(if path.is_empty() {
                    format!("{old} → {new}")
                } else {
                    format!("{path}: {old} → {new}")
                });
            }
        }
    }

    /// Items that are gone, new, or, of those that have an identity, changed.
    fn collect_items(&self, path: &str, old: &[Json], new: &[Json], lines: &mut Vec<(char, String)>) {
        let name = if path.is_empty() { String::new() } else { format!("{path}: ") };
        // One that has no identity, and is the only one, is the same one.
        let same = |a: &Json, b: &Json| match identity(a) {
            Some(member) => a.get(member) == b.get(member),
            None => a == b || old.len() == 1 && new.len() == 1,
        };
        for item in old.iter().filter(|item| !new.iter().any(|other| same(item, other))) {
            lines.push(('-', format!("{name}{}", self.value_to_text(item))));
        }
        for item in new {
            match old.iter().find(|other| same(other, item)) {
                None => lines.push(('+', format!("{name}{}", self.value_to_text(item)))),
                Some(before) => {
                    let changed = self.changes(before, item);
                    let known = identity(item).map(|known| format!("{known}: {}; ", self.member(known, &item[known])));
                    let name = format!("{name}{}", known.unwrap_or_default());
                    lines.extend(changed.into_iter().map(|(sign, text)| match sign {
                        ' ' => ('~', format!("{name}{text}")),
                        _ => (sign, format!("{name}{text}")),
                    }));
                }
            }
        }
    }

    fn nested(&self, value: &Json) -> String {
        match value {
            Json::Number(number) if !number.is_i64() && !number.is_u64() => {
                number.as_f64().map(rounded).unwrap_or_default()
            }
            Json::Array(items) => {
                format!("[{}]", items.iter().map(|item| self.nested(item)).collect::<Vec<_>>().join(", "))
            }
            Json::Object(members) => format!("{{{}}}", self.members_to_text(members)),
            value => value.to_string(),
        }
    }

    fn members_to_text(&self, members: &Map<String, Json>) -> String {
        if let Some(window) = self.window_to_text(members).filter(|_| self.ours) {
            return window;
        }
        let mut members: Vec<_> = members.iter().collect();
        members.sort_by_key(|(name, _)| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
        // Events are many.
        members.sort_by_key(|(name, _)| *name == "events");
        let members = members.into_iter().map(|(name, value)| format!("{name}: {}", self.member(name, value)));
        members.collect::<Vec<_>>().join(", ")
    }

    /// A window by time: `2013-01-23T10:00:00Z +1h: flights: 2, mean_delay: -6.0`.
    fn window_to_text(&self, members: &Map<String, Json>) -> Option<String> {
        let (start, end) = (members.get("window_start")?.as_i64()?, members.get("window_end")?.as_i64()?);
        let mut text =
            format!("{} +{}: ", self.member("window_start", &start.into()), length(end.saturating_sub(start)));
        let mut rest = members.clone();
        rest.retain(|name, _| !TIMES.contains(&name.as_str()));
        if let Some(Json::Object(results)) = rest.get("results") {
            text.push_str(&self.members_to_text(results));
            rest.remove("results");
            if !rest.is_empty() {
                text.push_str(", ");
            }
        }
        text.push_str(&self.members_to_text(&rest));
        Some(text)
    }

    fn member(&self, name: &str, value: &Json) -> String {
        match value.as_i64() {
            Some(time) if self.ours && TIMES.contains(&name) => to_rfc3339(time).replace(".000Z", "Z"),
            _ => self.nested(value),
        }
    }
}

/// The member by which an item is known.
fn identity(item: &Json) -> Option<&'static str> {
    IDENTITIES.into_iter().find(|member| item.get(*member).is_some())
}

/// A length of time in its largest whole unit.
fn length(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit = units.into_iter().find(|(unit, _)| ms % unit == 0);
    unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

/// At most six significant digits, without zeros at the end.
fn rounded(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e15).contains(&magnitude) {
        return format!("{number:.*e}", DIGITS as usize - 1);
    }
    let before_point = if magnitude < 1.0 { 1 } else { magnitude.log10() as i32 + 1 };
    let text = format!("{number:.*}", (DIGITS - before_point).max(1) as usize);
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0") } else { text.into() }
}

/// A text as one word of a shell.
pub(super) fn shell_quoted(text: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "-_./:@%+=,".contains(char);
    if !text.is_empty() && text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OURS: Teller = Teller { ours: true };

    #[test]
    fn values_read_well() {
        let value = json!({ "n": 917, "mean": 229.276_619_099, "first": "a\"b", "none": null });
        assert_eq!(OURS.value_to_text(&value), r#"first: "a\"b", mean: 229.277, n: 917, none: null"#);
        let windows = json!([{ "window_start": 0, "results": { "n": 1, "x": 2.0 } }]);
        assert_eq!(OURS.value_to_text(&windows), "[{window_start: 1970-01-01T00:00:00Z, results: {n: 1, x: 2.0}}]");
        let session =
            json!([{ "events": [], "window_start": 0, "window_end": 5_400_000, "results": { "n": 1, "x": 2 } }]);
        assert_eq!(OURS.value_to_text(&session), "[{1970-01-01T00:00:00Z +90m: n: 1, x: 2, events: []}]");
        let numbers = [0.0, 0.1, -0.123_456_789, 1234.5, 999_999.96, 1e-9, 1e300, 123_456_789.0];
        let texts = ["0.0", "0.1", "-0.12346", "1234.5", "1000000.0", "1.00000e-9", "1.00000e300", "123456789.0"];
        assert_eq!(numbers.map(rounded), texts);
    }

    #[test]
    fn members_of_a_program_are_not_taken_for_ours() {
        let value = json!({ "timestamp": 1_700_000_000, "window_start": 1, "window_end": 2 });
        let text = Teller::of(StateKind::Values).value_to_text(&value);
        assert_eq!(text, "window_start: 1, window_end: 2, timestamp: 1700000000");
    }

    #[test]
    fn changes_are_told_by_member_and_item() {
        let group = |n: u64, mean: f64| json!({ "mean": mean, "n": n, "same": true });
        assert_eq!(OURS.changes(&group(1, 0.5), &group(2, 0.25)), [(' ', "mean: 0.5 → 0.25, n: 1 → 2".into())]);
        let hidden = OURS.changes(&group(1, 0.1), &group(1, 0.100_000_000_01));
        assert_eq!(hidden, [(' ', "mean: 0.1 → 0.10000000001".into())]);
        let window = |start: i64, n: u64| json!({ "window_start": start, "results": { "n": n } });
        let lines = OURS.changes(&json!([window(0, 1), window(1000, 1)]), &json!([window(1000, 2), window(2000, 1)]));
        let expected = [
            ('-', "window_start: 1970-01-01T00:00:00Z, results: {n: 1}"),
            ('~', "window_start: 1970-01-01T00:00:01Z; n: 1 → 2"),
            ('+', "window_start: 1970-01-01T00:00:02Z, results: {n: 1}"),
        ];
        assert_eq!(lines, expected.map(|(sign, text)| (sign, String::from(text))));
        let only = |n: u64| json!([{ "results": { "n": n } }]);
        assert_eq!(OURS.changes(&only(1), &only(2)), [('~', "n: 1 → 2".into())]);
        assert_eq!(OURS.changes(&json!("00"), &json!("01")), [(' ', "\"00\" → \"01\"".into())]);
        assert_eq!(OURS.changes(&json!(1), &json!(1)), []);
    }
}
