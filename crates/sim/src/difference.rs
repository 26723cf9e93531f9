//! Where two things that were told in words differ, field by field.
//!
//! What is found and what must be are told as `Debug` tells them; two jobs so told fill a screen and differ in one number. This
//! takes both apart at their braces and names the fields that are not alike. Left out: knowing any of the types.

/// The differences between what was found and what must be, one a line; nothing if a finding is not of that form.
#[must_use]
pub fn differences(what: &str) -> Vec<String> {
    let after = |word: &str| what.lines().find_map(|line| line.trim_start().strip_prefix(word));
    let found = after("found ").or_else(|| after("heard "));
    let (Some(found), Some(expected)) = (found, after("expected ")) else { return Vec::new() };
    let mut lines = Vec::new();
    compare("", found.trim(), expected.trim(), &mut lines);
    lines
}

fn compare(path: &str, found: &str, expected: &str, lines: &mut Vec<String>) {
    if found == expected {
        return;
    }
    if let (Some((name, parts)), Some((other_name, others))) = (taken_apart(found), taken_apart(expected))
        && name == other_name
        && parts.len() == others.len()
        && parts.iter().zip(&others).all(|(part, other)| field(part).0 == field(other).0)
    {
        for (index, (part, other)) in parts.iter().zip(&others).enumerate() {
            let ((label, part), (_, other)) = (field(part), field(other));
            let label = label.map_or_else(|| index.to_string(), str::to_owned);
            // What only wraps another has no name of its own.
            let path = match (parts.len(), path.is_empty()) {
                (1, _) if field(parts[0]).0.is_none() => path.to_owned(),
                (_, true) => label,
                (_, false) => format!("{path}.{label}"),
            };
            compare(&path, part, other, lines);
        }
        return;
    }
    let path = if path.is_empty() { "it" } else { path };
    lines.push(format!("{path} is {found}, and must be {expected}"));
}

/// What stands before the brackets, and the parts between them.
fn taken_apart(text: &str) -> Option<(&str, Vec<&str>)> {
    let open = text.find(['{', '(', '['])?;
    let name = text[..open].trim();
    let inner = text[open + 1..].strip_suffix(['}', ')', ']'])?;
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':');
    is_name.then(|| (name, parts(inner)))
}

/// Splits at the commas that are in no brackets and no text.
fn parts(inner: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from, mut in_text, mut escaped) = (Vec::new(), 0, 0, false, false);
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(inner[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(inner[from..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// A field's name, if it has one, and its value.
fn field(part: &str) -> (Option<&str>, &str) {
    match part.split_once(": ") {
        Some((name, value)) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => (Some(name), value),
        _ => (None, part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fields_that_differ_are_told() {
        let what = "after the turn of frame 270: a job\n  \
             found    View { id: JobId(7), token: Some(Token(115)), note: Some(\"a, {b\"), list: [1, 2] }\n  \
             expected View { id: JobId(7), token: Some(Token(114)), note: Some(\"a, {b\"), list: [1, 3] }";
        assert_eq!(differences(what), ["token is 115, and must be 114", "list.1 is 2, and must be 3"]);
    }

    #[test]
    fn what_is_of_another_form_is_told_whole() {
        let told = |found: &str, expected: &str| {
            differences(&format!("x\n  heard    {found}\n  expected {expected}"))
        };
        assert_eq!(
            told("Done { replayed: false }", "Unknown"),
            ["it is Done { replayed: false }, and must be Unknown"]
        );
        assert_eq!(told("A([1, 2], 5)", "A([1], 5)"), ["0 is [1, 2], and must be [1]"]);
        assert_eq!(told("A { x: None }", "A { x: Some(1) }"), ["x is None, and must be Some(1)"]);
        assert_eq!(differences("panicked: at something"), Vec::<String>::new());
    }
}
