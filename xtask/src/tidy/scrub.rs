//! Rust source without comments, texts and test modules, so that words can be looked for.

/// Replaces comments and the insides of literals by nothing, keeping line breaks.
pub(super) fn code_only(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let bytes: Vec<char> = source.chars().collect();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = match rest {
            ['/', '/', ..] => at + length_until(rest, |tail| tail[0] == '\n'),
            ['/', '*', ..] => at + block_comment(rest),
            ['"', ..] => at + text(rest),
            ['r', '"' | '#', ..] if !follows_name(&bytes, at) => at + raw_text(rest),
            ['\'', ..] => at + character(rest),
            _ => {
                out.push(bytes[at]);
                at += 1;
                continue;
            }
        };
        // Line breaks stay, so that line numbers and `lines()` stay true.
        out.extend(bytes[at..end].iter().filter(|c| **c == '\n'));
        at = end;
    }
    out
}

/// Takes `#[cfg(test)] mod name { ... }` out of scrubbed source.
pub(super) fn without_test_modules(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        let (before, after) = rest.split_at(start);
        out.push_str(before);
        let open = after.find('{').unwrap_or(after.len());
        let semicolon = after.find(';').unwrap_or(after.len());
        if semicolon < open {
            rest = &after[semicolon + 1..];
            continue;
        }
        let mut depth = 0_usize;
        let mut end = after.len();
        for (index, letter) in after.char_indices().skip_while(|(index, _)| *index < open) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                end = index + 1;
                break;
            }
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

fn follows_name(source: &[char], at: usize) -> bool {
    at > 0 && (source[at - 1].is_alphanumeric() || source[at - 1] == '_')
}

fn length_until(rest: &[char], stop: impl Fn(&[char]) -> bool) -> usize {
    (0..rest.len()).find(|&index| stop(&rest[index..])).unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn text(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"..."`, `r#"..."#`; a raw identifier such as `r#type` has no quote and is one letter long here.
fn raw_text(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 1;
    }
    let body = &rest[hashes + 2..];
    let closes = |tail: &[char]| {
        tail[0] == '"' && tail[1..].iter().take_while(|c| **c == '#').count() >= hashes
    };
    (hashes + 2 + length_until(body, closes) + 1 + hashes).min(rest.len())
}

/// A character literal, or just the quote of a lifetime.
fn character(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', ..] => {
            2 + length_until(&rest[2..], |tail| tail[0] == '\'').max(1)
                + usize::from(rest.get(2) == Some(&'\''))
        }
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
    .min(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, code: &str) {
        assert_eq!(code_only(source), code);
    }

    #[test]
    fn comments_go() {
        check("a // async\nb", "a \nb");
        check("a /* x /* y */ \n z */ b", "a \n b");
        check("/// std::fs\nfn f() {}", "\nfn f() {}");
    }

    #[test]
    fn texts_go_and_lifetimes_stay() {
        check(r#"f("std::fs \" x", 'y', b)"#, "f(, , b)");
        check("f(r#\"a \" b\"#, c)", "f(, c)");
        check("fn f<'a>(x: &'a str) -> char { '\\'' }", "fn f<a>(x: &a str) -> char {  }");
        check("'\\n' x", " x");
    }

    #[test]
    fn test_modules_go() {
        let code = "a\n#[cfg(test)]\nmod tests { fn f() { std_fs } }\nb";
        assert_eq!(without_test_modules(code), "a\n\nb");
        assert_eq!(without_test_modules("a\n#[cfg(test)]\nmod tests;\nb"), "a\n\nb");
    }
}
