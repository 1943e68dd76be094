//! Regular expressions in RE2 syntax. Perl classes such as `\d` and `\w` are Unicode-aware here.

use gotmpl::Value;
use regex::{Regex, RegexBuilder};

use super::{
    Environment, Failure, Function, MAX_ITEMS, MAX_VALUE, Outcome, Text, argument, exactly,
    strings, text, whole,
};

/// Largest compiled expression in bytes.
const MAX_COMPILED: usize = 1 << 20;

pub(super) const FUNCTIONS: &[Function] = &[
    exactly("regexMatch", 2, |_, a| Ok(Value::Bool(compile(a)?.is_match(text(a, 1)?)))),
    every_match("regexFindAll", find_all),
    every_match("regexReplaceAll", replace_all),
    every_match("regexSplit", split),
];

/// Every match may look at the rest of the text before it ends.
const fn every_match(name: &'static str, run: fn(&Environment, &[Value]) -> Outcome) -> Function {
    Function { name, least: 3, most: 3, quadratic: true, run }
}

fn compile(arguments: &[Value]) -> Result<Regex, Failure> {
    // The error would quote the pattern, which is a value.
    RegexBuilder::new(text(arguments, 0)?)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|_| argument("argument 1 is not a regular expression, or a too large one"))
}

/// `n` of Go's regexp functions: negative means all.
fn count(arguments: &[Value], index: usize) -> Result<usize, Failure> {
    Ok(usize::try_from(whole(arguments, index)?).unwrap_or(usize::MAX))
}

fn find_all(_: &Environment, arguments: &[Value]) -> Outcome {
    let (pattern, limit) = (compile(arguments)?, count(arguments, 2)?);
    strings(pattern.find_iter(text(arguments, 1)?).take(limit).map(|found| found.as_str()))
}

fn replace_all(_: &Environment, arguments: &[Value]) -> Outcome {
    let pattern = compile(arguments)?;
    let (replacement, subject) = (text(arguments, 1)?, text(arguments, 2)?);
    let references = replacement.bytes().filter(|byte| *byte == b'$').count();
    let mut replaced = Text::default();
    let mut copied = 0;
    for captures in pattern.captures_iter(subject) {
        let Some(found) = captures.get(0) else { continue };
        if replacement.len() + references.saturating_mul(found.len()) > MAX_VALUE {
            return Err(Failure::TooLarge);
        }
        let mut expanded = String::new();
        captures.expand(replacement, &mut expanded);
        replaced.push(&subject[copied..found.start()])?;
        replaced.push(&expanded)?;
        copied = found.end();
    }
    replaced.push(&subject[copied..])?;
    replaced.finish()
}

/// Go's `Regexp.Split`: an empty match at the very start splits nothing off.
fn split(_: &Environment, arguments: &[Value]) -> Outcome {
    let (pattern, limit) = (compile(arguments)?, count(arguments, 2)?);
    let subject = text(arguments, 1)?;
    if limit == 0 {
        return Ok(Value::List(Vec::new().into()));
    }
    if subject.is_empty() && !pattern.as_str().is_empty() {
        return Ok(Value::List(vec![Value::from("")].into()));
    }
    let mut parts: Vec<&str> = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in pattern.find_iter(subject) {
        if parts.len() > MAX_ITEMS {
            return Err(Failure::TooLarge);
        }
        if parts.len() + 1 >= limit {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(&subject[begin..end]);
        }
        begin = found.end();
    }
    if end != subject.len() {
        parts.push(&subject[begin..]);
    }
    strings(parts.into_iter())
}
