//! What users get wrong, and the message they get for it: every error and warning, pinned in
//! `bad_input.txt`.

use smr_model::{SourceName, parse};

const CASES: &str = include_str!("bad_input.txt");

/// Checks all issues of a text, and that a text with errors gives no definition for them.
fn check(text: &str, expected: &[&str]) {
    let parsed = parse(text, &SourceName::new("f.yaml"));
    let actual: Vec<String> =
        parsed.issues.iter().map(|i| format!("{}: {i}", i.severity)).collect();
    assert_eq!(actual, expected, "\n{text}");
    let documents: Vec<usize> = parsed.documents.iter().map(|d| d.number).collect();
    assert!(parsed.errors().all(|i| !documents.contains(&i.document)), "\n{text}");
    assert!(!actual.concat().contains("hunter2"), "a secret is shown: {actual:?}");
}

#[test]
fn every_mistake_gives_its_pinned_message() {
    let cases: Vec<&str> = CASES.split("\n========").skip(1).collect();
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    for case in cases {
        let (_section, case) = case.split_once('\n').expect("a section and a case");
        let (text, issues) = case.split_once("\n>>>>>>>>\n").expect("a text and its issues");
        check(text, &issues.lines().collect::<Vec<_>>());
    }
}
