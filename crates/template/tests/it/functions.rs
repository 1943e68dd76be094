//! Every function, its argument order and its edge cases.

use super::render;
use smr_template::{Delimiters, ErrorKind, check};

/// Expression and what it prints.
fn table(rows: &[(&str, &str)]) {
    for (expression, expected) in rows {
        let text = format!("(( {expression} ))");
        match render(&text) {
            Ok(rendered) => assert_eq!(rendered, *expected, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

/// Expression and part of the message of the error it causes.
fn failures(rows: &[(&str, &str)]) {
    for (expression, part) in rows {
        let text = format!("(( {expression} ))");
        match render(&text) {
            Ok(rendered) => panic!("{text} rendered {rendered}"),
            Err(error) => assert!(error.to_string().contains(part), "{text}: {error}"),
        }
    }
}

#[test]
fn strings() {
    table(&[
        (r#"upper "aé""#, "AÉ"),
        (r#"lower "AÉ""#, "aé"),
        (r#"title "hello big-world""#, "Hello Big-World"),
        (r#"trim "  a b \n""#, "a b"),
        (r#"trimSuffix "a.yaml" ".yaml""#, "a"),
        (r#"trimPrefix "v1.2" "v""#, "1.2"),
        (r#"contains "abc" "b""#, "true"),
        (r#"hasPrefix "abc" "ab""#, "true"),
        (r#"hasSuffix "abc" "ab""#, "false"),
        (r#"split "," "a,b,,c" | join "-""#, "a-b--c"),
        (r#"split "" "aé" | len"#, "2"),
        (r#""a b" | split " " | join "+""#, "a+b"),
        (r#"replace "a" "o" 2 "banana""#, "bonona"),
        (r#""banana" | replace "a" "o" -1"#, "bonono"),
        (r#"replaceAll "an" "x" "banana""#, "bxxa"),
        (r#"replaceAll "" "." "ab""#, ".a.b."),
        ("quote \"a\\\"b\\\\\\n\\t\u{7f}\u{e9}\"", "\"a\\\"b\\\\\\n\\t\\x7f\u{e9}\""),
        (r#"squote "it""#, "'it'"),
        (r#"substr 1 3 "abcdef""#, "bcd"),
        (r#"substr 4 30 "abcdef""#, "ef"),
        (r#"substr 9 1 "abcdef""#, ""),
        (r#"indent 2 "a\nb""#, "  a\n  b"),
        (r#""a\nb" | nindent 1"#, "\n a\n b"),
    ]);
    failures(&[
        ("upper 1", "`upper`: argument 1 must be a string, not int"),
        ("join \",\" (list 1)", "use `toStrings` first"),
        ("substr 1 1 \"é\"", "split a character"),
        ("upper", "`upper`: takes 1 arguments, not 0"),
        ("indent -1 \"a\"", "negative"),
    ]);
}

#[test]
fn conversions() {
    table(&[
        ("toString 5", "5"),
        ("list 1 true \"x\" | toStrings | join \",\"", "1,true,x"),
        ("toInt \"42\" | add 1", "43"),
        ("toInt 3.9", "3"),
        ("toInt64 \"-7\"", "-7"),
        ("toFloat64 \"1.5\"", "1.5"),
        ("toFloat64 2", "2"),
        (r#"dict "b" 1 "a" (list "x" true nil) | toJson"#, r#"{"a":["x",true,null],"b":1}"#),
        (r#"toJson "<a&b>""#, "\"\\u003ca\\u0026b\\u003e\""),
        (r#"dict "a" 1 | toPrettyJson"#, "{\n  \"a\": 1\n}"),
        (r#"get (fromJson `{"port":5432000}`) "port""#, "5432000"),
        (r#"(fromJson `{"a":{"b":[1,2.5]}}`).a.b"#, "[1 2.5]"),
        (r#"base64encode "hi""#, "aGk="),
        (r#""aGk=" | base64decode"#, "hi"),
        (r#"b64enc "hi" | b64dec"#, "hi"),
        (r#"base64decode "aG\nk=""#, "hi"),
        (r#"urlquery "a b&c""#, "a%20b&c"),
    ]);
    failures(&[
        ("toInt \"x\"", "not a whole number"),
        ("toInt (list)", "not list"),
        ("fromJson \"{\\\"top-secret\\\"\"", "invalid JSON at line 1"),
        ("base64decode \"%%\"", "not valid base64"),
        ("base64decode \"/w==\"", "not UTF-8"),
    ]);
}

#[test]
fn lists_and_dicts() {
    table(&[
        ("list 1 \"a\" true", "[1 a true]"),
        ("append (list 1) 2", "[1 2]"),
        ("prepend (list 1) 2", "[2 1]"),
        ("first (list 1 2)", "1"),
        ("last (list 1 2)", "2"),
        ("first list", "<no value>"),
        ("rest (list 1 2 3)", "[2 3]"),
        ("initial (list 1 2 3)", "[1 2]"),
        ("rest (list 1)", "[]"),
        ("initial list", "[]"),
        ("reverse (list 1 2 3)", "[3 2 1]"),
        ("uniq (list 1 \"1\" 1 \"1\")", "[1 1]"),
        ("compact (list \"\" 0 nil \"a\")", "[0 a]"),
        ("dict \"a\" 1", "map[a:1]"),
        ("get (dict \"a\" 1) \"a\"", "1"),
        ("get (dict \"a\" 1) \"b\" | default \"none\"", "none"),
        ("set (dict \"a\" 1) \"b\" 2", "map[a:1 b:2]"),
        ("unset (dict \"a\" 1 \"b\" 2) \"a\"", "map[b:2]"),
        ("hasKey (dict \"a\" 1) \"a\"", "true"),
        ("keys (dict \"b\" 1 \"a\" 2)", "[a b]"),
        ("values (dict \"b\" 1 \"a\" 2)", "[2 1]"),
    ]);
    let unchanged = "(( $d := dict \"a\" 1 ))(( $e := set $d \"b\" 2 ))(( $d ))";
    assert_eq!(render(unchanged).unwrap(), "map[a:1]");
    failures(&[
        ("dict \"a\"", "pairs"),
        ("dict 1 2", "argument 1 must be a string"),
        ("first \"a\"", "must be a list"),
        ("keys (list)", "must be a dict"),
    ]);
}

#[test]
fn numbers_and_logic() {
    table(&[
        ("add 1 2", "3"),
        ("sub 1 2", "-1"),
        ("mul 3 4", "12"),
        ("div 7 2", "3"),
        ("div 7 0", "0"),
        ("mod 7 4", "3"),
        ("mod 7 0", "0"),
        ("max 1 2", "2"),
        ("min 1 2", "1"),
        ("default \"d\" .empty", "d"),
        (".name | default \"d\"", "mysql-mysql-1"),
        ("default \"d\" 0", "0"),
        ("empty .empty", "true"),
        ("empty (list 1)", "false"),
        ("coalesce nil \"\" \"c\" \"d\"", "c"),
        ("coalesce", "<no value>"),
        ("ternary true \"a\" \"b\"", "a"),
        ("ternary (eq 1 2) \"a\" \"b\"", "b"),
    ]);
    failures(&[
        ("add .index 1", "must be an int, not string"),
        ("ternary 1 2 3", "must be a bool"),
    ]);
}

#[test]
fn times() {
    table(&[
        ("now", "2026-11-20 09:31:10.5 +0000 UTC"),
        ("now | date \"2006-01-02T15:04:05Z07:00\"", "2026-11-20T09:31:10Z"),
        ("date \"Monday, 2 January 06 3:4:5 pm\" now", "Friday, 20 November 26 9:31:10 am"),
        ("date \"Mon Jan _2 15:04:05.000 MST 2006\" now", "Fri Nov 20 09:31:10.500 UTC 2026"),
        ("date \"002 .999 ,9 Janet\" now", "324 .5 ,5 Janet"),
        ("date \"03PM\" 1700000000", "10PM"),
        ("dateInZone \"15:04 -0700 MST\" \"+05:30\" now", "15:01 +0530 +0530"),
        ("now | dateInZone \"15:04\" \"UTC\"", "09:31"),
        ("now | unixEpoch", "1795167070"),
        ("unixEpoch \"2026-11-20T10:31:10+01:00\"", "1795167070"),
        ("date \"2006\" \"2026-11-20T10:31:10Z\"", "2026"),
        ("date \"-07:00\" \"2026-11-20T10:31:10-03:00\"", "-03:00"),
    ]);
    failures(&[
        ("date \"2006\" \"yesterday\"", "argument 2 is not a time"),
        ("dateInZone \"2006\" \"Nowhere/Land\" now", "unknown time zone"),
        ("now 1", "takes 0 arguments"),
    ]);
}

#[test]
fn paths() {
    table(&[
        ("base \"/a/b.txt\"", "b.txt"),
        ("base \"/\"", "/"),
        ("base \"\"", "."),
        ("base \"a/b/\"", "b"),
        ("dir \"/a/b.txt\"", "/a"),
        ("dir \"b\"", "."),
        ("dir \"/\"", "/"),
        ("ext \"a.b/c.tar.gz\"", ".gz"),
        ("ext \"a.b/c\"", ""),
        ("clean \"a//b/../c/.\"", "a/c"),
        ("clean \"/../a\"", "/a"),
        ("clean \"../../a\"", "../../a"),
        ("clean \"\"", "."),
        ("isAbs \"/a\"", "true"),
        ("isAbs \"a\"", "false"),
    ]);
}

#[test]
fn regexes() {
    table(&[
        ("regexMatch `^a.c$` \"abc\"", "true"),
        ("regexFindAll `[0-9]+` \"a1b22c3\" -1", "[1 22 3]"),
        ("regexFindAll `[0-9]+` \"a1b22c3\" 2", "[1 22]"),
        ("regexReplaceAll `(a)(x*)b` `${2}-$1` \"axxb ab\"", "xx-a -a"),
        ("\"a1b\" | regexReplaceAll `[0-9]` \"#\"", "a#b"),
        ("regexSplit `,` \"a,b,c\" -1", "[a b c]"),
        ("regexSplit `,` \"a,b,c\" 2", "[a b,c]"),
        ("regexSplit `,` \"a,b,c\" 0", "[]"),
        ("regexSplit `` \"abc\" -1", "[a b c]"),
        ("regexSplit `a*` \"baaac\" -1", "[b c]"),
        ("regexSplit `,` \"\" -1 | len", "1"),
    ]);
    failures(&[("regexMatch `(secret` \"a\"", "not a regular expression")]);
    let error = render("(( regexMatch `(secret` \"a\" ))").unwrap_err();
    assert!(!error.to_string().contains("(secret"));
}

#[test]
fn functions_of_go() {
    table(&[
        ("printf \"%s-%03d %q %v\" \"a\" 7 \"b\" (list 1 2)", "a-007 \"b\" [1 2]"),
        ("\"x\" | printf \"%s%s\" \"y\"", "yx"),
        ("print \"a\" 1 2 \"b\"", "a1 2b"),
        ("println \"a\" 1", "a 1\n"),
        ("html \"<b>\"", "&lt;b&gt;"),
        ("js \"it's\"", "it\\'s"),
        ("len \"abc\"", "3"),
        ("index (list 1 2) 1", "2"),
        ("index (dict \"a\" (list 5)) \"a\" 0", "5"),
        ("slice \"abcdef\" 1 3", "bc"),
        ("and 1 0 2", "0"),
        ("or 0 \"x\"", "x"),
        ("not 0", "true"),
        ("eq 1 2 1", "true"),
        ("ne 1 2", "true"),
        ("lt 1 2", "true"),
        ("le 2 2", "true"),
        ("gt 1 2", "false"),
        ("ge \"b\" \"a\"", "true"),
    ]);
    failures(&[
        ("index (list 1) 7", "index out of range"),
        ("eq 1 \"a\"", "incompatible types"),
        ("len 7", "does not fit"),
        ("eq 1", "`eq`: takes at least 2"),
        ("call 1", "non-function"),
    ]);
}

#[test]
fn every_documented_function_exists() {
    let names = "upper lower title trim trimSuffix trimPrefix contains hasPrefix hasSuffix split join \
                 replace replaceAll quote squote substr indent nindent toString toStrings toInt toInt64 \
                 toFloat64 toJson toPrettyJson fromJson list append prepend first last rest initial \
                 reverse uniq compact dict get set unset hasKey keys values add sub mul div mod max min \
                 now date dateInZone unixEpoch base dir ext clean isAbs default empty coalesce ternary \
                 regexMatch regexFindAll regexReplaceAll regexSplit base64encode base64decode b64enc \
                 b64dec urlquery eq ne lt le gt ge and or not len index slice printf print println html \
                 js call";
    for name in names.split_ascii_whitespace() {
        for delimiters in [Delimiters::Object, Delimiters::Pack] {
            let text = format!("(( {name} ))").replace("((", "{{").replace("))", "}}");
            let text =
                if delimiters == Delimiters::Object { format!("(( {name} ))") } else { text };
            check(&text, delimiters, false).unwrap();
        }
    }
}

#[test]
fn misspelt_functions_get_a_suggestion() {
    for (wrong, right) in [
        ("base64Decode", "base64decode"),
        ("toUpper", "upper"),
        ("hasprefix", "hasPrefix"),
        ("pritnf", "printf"),
    ] {
        let error = render(&format!("(( {wrong} \"a\" ))")).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::UnknownFunction { name, .. } if name == wrong),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("did you mean `{right}`?")), "{error}");
    }
    let error = render("(( frobnicate ))").unwrap_err();
    assert_eq!(error.to_string(), "line 1, column 4: unknown function `frobnicate`");
}
