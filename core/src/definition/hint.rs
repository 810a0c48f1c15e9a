//! What an error message adds to help: the name that was meant, or the names there are.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Most names a hint lists.
const LISTED_MAX: usize = 20;
/// Most characters of a user's text that a message repeats.
const SHOWN_CHARS_MAX: usize = 60;
/// Most characters of a name that a misspelling is looked for: how long that takes grows with the square of it.
const NAME_CHARS_MAX: usize = 100;

/// The candidate that `name` is most likely a misspelling of; the first one of several equally near.
/// ASCII letters of either case are equal; a third of all may be wrong, missing, or swapped. A name of more than 100
/// characters is like no other.
///
/// ```
/// use eventflux_core::definition::nearest;
/// assert_eq!(nearest("dep_dely", ["origin", "dep_delay"]), Some("dep_delay"));
/// assert_eq!(nearest("tailnum", ["origin", "dep_delay"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One more shows that there are too many.
    let letters = |text: &str| -> Vec<char> {
        text.chars().take(NAME_CHARS_MAX + 1).map(|char| char.to_ascii_lowercase()).collect()
    };
    let name = letters(name);
    if name.len() > NAME_CHARS_MAX {
        return None;
    }
    let distance_max = (name.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters = letters(candidate);
        if letters.len() > NAME_CHARS_MAX {
            continue;
        }
        // One letter changed in a name of one letter would be any name.
        if letters.len().abs_diff(name.len()) > distance_max || name.len().min(letters.len()) < 2 && letters != name {
            continue;
        }
        let distance = edit_distance(&name, &letters);
        if distance <= distance_max && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// That a source does not have a field, and which was meant.
pub(crate) fn no_field<'a>(name: &str, fields: impl IntoIterator<Item = &'a str>) -> String {
    format!("the source has no field `{name}`{}", hint(name, fields))
}

/// The end of an error message about an unknown name: "; did you mean `compute`?" or "; known: a, b, c".
pub(crate) fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(meant) = nearest(name, candidates.iter().copied()) {
        return format!("; did you mean `{}`?", shown(meant));
    }
    if candidates.is_empty() {
        return String::new();
    }
    let listed: Vec<String> = candidates.iter().take(LISTED_MAX).map(|name| shown(name)).collect();
    let listed = listed.join(", ");
    match candidates.len().saturating_sub(LISTED_MAX) {
        0 => format!("; known: {listed}"),
        more => format!("; known: {listed} and {more} more"),
    }
}

/// A user's text as a message repeats it: on one line, and not too long.
pub(crate) fn shown(text: &str) -> String {
    shown_up_to(text, SHOWN_CHARS_MAX)
}

/// As [`shown`], of a text that may have so many characters.
pub(crate) fn shown_up_to(text: &str, chars_max: usize) -> String {
    let mut shown = String::new();
    for (place, char) in text.chars().enumerate() {
        if place == chars_max {
            shown.push('…');
            break;
        }
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Letters to insert, remove, change, or swap with their neighbour (optimal string alignment).
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(above.len());
        let mut left = i + 1;
        row.push(left);
        for (j, to) in b.iter().enumerate() {
            let changed = above[j] + usize::from(from != to);
            left = changed.min(above[j + 1] + 1).min(left + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                left = left.min(before[j - 1] + 1);
            }
            row.push(left);
        }
        before = core::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = ["name", "window", "compute", "within", "key", "where"];

    #[test]
    fn nearest_forgives_a_third_of_the_letters() {
        assert_eq!(nearest("compte", KEYS), Some("compute"));
        assert_eq!(nearest("wihtin", KEYS), Some("within"));
        assert_eq!(nearest("Keys", KEYS), Some("key"));
        assert_eq!(nearest("zzz", KEYS), None);
        assert_eq!(nearest("k", KEYS), None);
        assert_eq!(nearest("", KEYS), None);
        assert_eq!(nearest("lte", ["le", "lt"]), Some("le"));
    }

    /// Names come from the input: letter by letter, these would take a day.
    #[test]
    fn names_of_megabytes_are_like_no_other() {
        let (a, b) = ("a".repeat(5 << 20), "b".repeat(5 << 20));
        assert_eq!(nearest(&a, [b.as_str()]), None);
        assert_eq!(nearest("name", [b.as_str(), "nam"]), Some("nam"));
        let longest = "é".repeat(NAME_CHARS_MAX);
        assert_eq!(nearest(&longest, [&*longest]), Some(&*longest));
        let longer = longest.clone() + "é";
        assert_eq!((nearest(&longest, [&*longer]), nearest(&longer, [&*longest])), (None, None));
    }

    #[test]
    fn hint_names_the_nearest_or_lists() {
        assert_eq!(hint("compte", KEYS), "; did you mean `compute`?");
        assert_eq!(hint("zzz", ["a", "b"]), "; known: a, b");
        assert_eq!(hint("zzz", []), "");
        assert!(hint("zzz", ["long name"; 23]).ends_with("long name and 3 more"));
    }

    #[test]
    fn shown_is_one_short_line() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"é".repeat(100)).chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
