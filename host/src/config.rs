//! Application definitions from TOML files, with errors that name the line.

use std::fs;
use std::path::Path;

use eventflux_core::Error as CoreError;
use eventflux_core::definition::{ApplicationDefinition, Document};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};

/// Reads the definition of an application from a TOML file.
///
/// # Errors
/// [`Error::File`] if it cannot be read; [`Error::Definition`], with file and line, if it is wrong.
pub fn load(path: &Path) -> Result<ApplicationDefinition> {
    let text = fs::read_to_string(path).map_err(|reason| Error::File { action: "read", path: path.into(), reason })?;
    parse(&text, &path.display().to_string())
}

/// Reads a definition from TOML text; `file` is what errors call it.
///
/// # Errors
/// [`Error::Definition`].
pub fn parse(text: &str, file: &str) -> Result<ApplicationDefinition> {
    let syntax = |error: toml::de::Error| Error::Definition {
        file: file.into(),
        line: error.span().map(|span| line_of(text, span.start)),
        reason: error.message().trim_end().into(),
    };
    let document: Document = toml::from_str(text).map_err(syntax)?;
    ApplicationDefinition::from_document(&document).map_err(|error| with_line(error, text, file))
}

/// Turns a definition error of the core into one with the file and the line it came from.
#[must_use]
pub fn with_line(error: CoreError, text: &str, file: &str) -> Error {
    match error {
        CoreError::Definition { path, reason } => {
            let line = DeTable::parse(text).ok().and_then(|table| locate(table.get_ref(), &path));
            let line = line.map(|offset| line_of(text, offset));
            Error::Definition { file: file.into(), line, reason: format!("{path}: {reason}") }
        }
        error => error.into(),
    }
}

/// Byte at which the deepest part of a path that exists begins.
fn locate(root: &DeTable<'_>, path: &str) -> Option<usize> {
    let mut offset = None;
    let mut table = Some(root);
    let mut list: Option<&[Spanned<DeValue<'_>>]> = None;
    for part in split_path(path) {
        let value = match (part, table, list) {
            (Part::Key(key), Some(members), _) => {
                let Some((name, value)) = members.iter().find(|(name, _)| name.get_ref() == key.as_str()) else {
                    break;
                };
                offset = Some(name.span().start);
                value
            }
            (Part::Index(index), _, Some(items)) => {
                let Some(value) = items.get(index) else { break };
                offset = Some(value.span().start);
                value
            }
            _ => break,
        };
        table = value.get_ref().as_table();
        list = value.get_ref().as_array().map(|array| array.as_ref());
    }
    offset
}

enum Part {
    Key(String),
    Index(usize),
}

/// `operator[1].compute."a b"` as its parts.
fn split_path(path: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']').unwrap_or((after, ""));
            parts.extend(index.parse().ok().map(Part::Index));
            rest = after;
        } else if rest.starts_with('"') {
            // As `key_path` of the core writes them: JSON, so that a key may have quotes.
            let mut texts = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            let Some(Ok(key)) = texts.next() else { break };
            parts.push(Part::Key(key));
            rest = &rest[texts.byte_offset()..];
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            parts.push(Part::Key(rest[..end].into()));
            rest = &rest[end..];
        }
    }
    parts
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "flights"
[source]
file = "a.csv"
timestamp = "time"

[[operator]]
name = "one"
aggregate = { flights = "count" }

[[operator]]
name = "two"
window = { tumbling = "1h" }
compute = { n = "count" }
"#;

    fn error(text: &str) -> String {
        parse(text, "app.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_definition_reads() {
        let definition = parse(GOOD, "app.toml").unwrap();
        assert_eq!(definition.operators[1].name, "two");
    }

    #[test]
    fn errors_name_the_line() {
        let bad = GOOD.replace("tumbling = \"1h\"", "tumbling = \"1 hour\"");
        assert!(error(&bad).starts_with("app.toml, line 13: operator[1].window.tumbling: "), "{}", error(&bad));
        let bad = GOOD.replace("timestamp =", "timestmap =");
        assert_eq!(error(&bad), "app.toml, line 5: source.timestmap: unknown key; did you mean `timestamp`?");
        let bad = GOOD.replace("name = \"two\"", "name = \"one\"");
        assert!(error(&bad).starts_with("app.toml, line 12: operator[1].name: "), "{}", error(&bad));
        let bad = GOOD.replace("[source]", "[source");
        assert!(error(&bad).starts_with("app.toml, line 3: "), "{}", error(&bad));
        // Names with quotes, backslashes and dots.
        let names = "[operator.compute]\nn = \"count\"\n'a\\b.\"c\"' = \"avrg value\"\n";
        let bad = GOOD.replace("compute = { n = \"count\" }\n", names);
        assert!(error(&bad).starts_with("app.toml, line 16: operator[1].compute."), "{}", error(&bad));
        let bad = GOOD.replace("aggregate = { flights = \"count\" }", "plugin = \"p.wasm\"\nconfig = { k = [inf] }");
        assert!(error(&bad).starts_with("app.toml, line 10: operator[0].config: has a number"), "{}", error(&bad));
    }
}
