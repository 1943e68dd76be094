//! What holds for every text.

use proptest::prelude::*;
use smr_template::{Context, Delimiters, check, is_template, render};

use super::{Objects, now, variables};

/// Text that looks like a template now and then.
fn templates() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "((",
            "))",
            "{{",
            "}}",
            "((-",
            "-))",
            "{{- ",
            " -}}",
            "(",
            ")",
            "$((",
            "$",
            "$x",
            ":=",
            "=",
            "|",
            ".",
            ".name",
            ".a.b",
            "\"",
            "`",
            "'",
            "/*",
            "*/",
            "\\",
            "if",
            "else",
            "else if",
            "end",
            "range",
            "with",
            "define",
            "template",
            "block",
            "break",
            "continue",
            "nil",
            "true",
            "lookup",
            "\"secret/a/b:k\"",
            "print",
            "printf",
            "\"%d\"",
            "upper",
            "list",
            "index",
            "slice",
            "now",
            "0x",
            "-1",
            "1e9",
            "'a'",
            "9223372036854775808",
            ",",
            " ",
            "\n",
            "é",
            "\u{80}",
            "\u{91}",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
        "[ -~]{0,8}",
    ];
    let spaced = (piece, any::<bool>())
        .prop_map(|(piece, space)| if space { format!("{piece} ") } else { piece });
    prop::collection::vec(spaced, 0..40).prop_map(|pieces| pieces.concat())
}

/// Expressions that mostly parse, so that execution is reached.
fn expressions() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(vec![
        ".",
        ".name",
        ".empty",
        "$",
        "\"a,b\"",
        "\"\"",
        "0",
        "-1",
        "3",
        "2.5",
        "true",
        "nil",
        "(list 1 2)",
        "list",
        "(dict \"a\" 1)",
        "now",
        "`(a)|b`",
        "\"Jan _2 .000\"",
        "9223372036854775807",
    ]);
    let function = prop::sample::select(vec![
        "upper",
        "title",
        "trimSuffix",
        "split",
        "join",
        "replace",
        "replaceAll",
        "quote",
        "substr",
        "indent",
        "toString",
        "toStrings",
        "toInt",
        "toFloat64",
        "toJson",
        "fromJson",
        "append",
        "first",
        "rest",
        "initial",
        "reverse",
        "uniq",
        "compact",
        "get",
        "set",
        "keys",
        "add",
        "div",
        "mod",
        "max",
        "date",
        "dateInZone",
        "unixEpoch",
        "base",
        "dir",
        "ext",
        "clean",
        "default",
        "empty",
        "coalesce",
        "ternary",
        "regexMatch",
        "regexFindAll",
        "regexReplaceAll",
        "regexSplit",
        "b64enc",
        "b64dec",
        "urlquery",
        "lookup",
        "print",
        "printf",
        "println",
        "html",
        "js",
        "len",
        "index",
        "slice",
        "eq",
        "lt",
        "and",
        "or",
        "not",
        "call",
    ]);
    let call = (function, prop::collection::vec(atom, 0..4))
        .prop_map(|(function, arguments)| format!("{function} {}", arguments.join(" ")));
    prop::collection::vec(call, 1..4).prop_map(|calls| format!("(( {} ))", calls.join(" | ")))
}

fn outcome(text: &str, delimiters: Delimiters) -> Result<String, String> {
    let variables = variables(&[("name", "n"), ("empty", "")]);
    let objects = Objects::default().with("secret/a/b", "k", "v");
    let context = Context { variables: (&variables).into(), lookup: Some(&objects), now: now() };
    render(text, delimiters, &context)
        .map(|rendered| rendered.text)
        .map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_renders_or_fails_the_same_way_twice(text in templates()) {
        for delimiters in [Delimiters::Object, Delimiters::Pack] {
            let first = outcome(&text, delimiters);
            prop_assert_eq!(&first, &outcome(&text, delimiters));
            // What check refuses, render refuses, and with the same words.
            if let Err(error) = check(&text, delimiters, true) {
                prop_assert_eq!(first, Err(error.to_string()));
            } else if !is_template(&text, delimiters) {
                prop_assert_eq!(first, Ok(text.clone()));
            }
        }
    }

    #[test]
    fn any_expression_is_evaluated_or_refused(text in expressions()) {
        let result = outcome(&text, Delimiters::Object);
        if let Err(message) = result {
            prop_assert!(!message.contains("panicked"), "{}: {}", text, message);
            prop_assert!(!message.contains("cannot be parsed"), "{}: {}", text, message);
        }
    }

    #[test]
    fn text_without_delimiters_is_unchanged(text in any::<String>()) {
        let text = text.replace("((", "(").replace("{{", "{");
        prop_assume!(!text.contains("((") && !text.contains("{{"));
        prop_assert_eq!(outcome(&text, Delimiters::Object), Ok(text.clone()));
        prop_assert_eq!(outcome(&text, Delimiters::Pack), Ok(text));
    }

    #[test]
    fn text_around_expressions_is_unchanged(before in "[^(${]*", after in "[^(${]*") {
        let text = format!("{before}(( .name )){after}");
        prop_assert_eq!(outcome(&text, Delimiters::Object), Ok(format!("{before}n{after}")));
    }
}
