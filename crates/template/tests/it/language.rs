//! Delimiters, control flow, positions, escapes.

use serde_json::json;
use smr_template::{Context, Delimiters, ErrorKind, check, is_template};

use super::{now, render};

fn pack(text: &str, variables: &serde_json::Value) -> Result<String, smr_template::Error> {
    let variables = variables.as_object().expect("a JSON object");
    let context = Context { variables: variables.into(), lookup: None, now: now() };
    smr_template::render(text, Delimiters::Pack, &context).map(|rendered| rendered.text)
}

#[test]
fn control_flow_and_whitespace() {
    for (text, expected) in [
        ("(( if .empty ))a(( else if .name ))b(( else ))c(( end ))", "b"),
        ("(( if .empty ))a(( else if .name ))b(( end )), c", "b, c"),
        ("(( range 2 ))(( if . ))a(( else if true ))b(( end ));(( end ))d", "b;a;d"),
        ("(( with .empty ))a(( else with .name ))(( len . ))(( end ))", "13"),
        ("(( if not .empty ))a(( end ))", "a"),
        ("(( range $i, $v := list \"a\" \"b\" ))(( $i ))=(( $v ));(( end ))", "0=a;1=b;"),
        ("(( range list ))x(( else ))none(( end ))", "none"),
        ("(( range 3 ))(( if eq . 1 ))(( continue ))(( end ))(( . ))(( end ))", "02"),
        ("(( range 3 ))(( if eq . 1 ))(( break ))(( end ))(( . ))(( end ))", "0"),
        (
            "(( with .name ))[(( . ))](( end ))(( with .empty ))x(( else ))y(( end ))",
            "[mysql-mysql-1]y",
        ),
        ("(( $x := 1 ))(( if true ))(( $x = 2 ))(( end ))(( $x ))", "2"),
        ("(( define \"t\" ))<(( . ))>(( end ))(( template \"t\" .name ))", "<mysql-mysql-1>"),
        ("(( block \"b\" .name ))[(( . ))](( end ))", "[mysql-mysql-1]"),
        ("a \n ((- .index -)) \n b", "a1b"),
        ("a (( /* comment )) */ )) b", "a  b"),
        ("a ((- /* c */ )) b", "a b"),
        ("((/* c */)).((/* (( */))", "."),
        ("(( range $k, $v := dict \"b\" 1 \"a\" 2 ))(( $k ))(( $v ))(( end ))", "a2b1"),
        ("(( (index (list .name) 0) | len ))", "13"),
        ("(($.name))", "mysql-mysql-1"),
        ("é(( .index ))é\u{80}", "é1é\u{80}"),
    ] {
        assert_eq!(render(text).unwrap_or_else(|error| panic!("{text}: {error}")), expected);
    }
}

#[test]
fn parentheses_may_touch_the_closing_delimiter() {
    assert_eq!(render("((upper (lower (print \"A\"))))").unwrap(), "A");
    assert_eq!(render("((print \"))\"))").unwrap(), "))");
    assert_eq!(render("(((.index)))").unwrap(), "1");
}

#[test]
fn shell_arithmetic_is_literal() {
    for text in [
        "echo $((1+1))",
        "a=$(( (x + (y)) * ((2)) )) b",
        "$((",
        "$(( unbalanced ) ",
        "while [ $((i++)) -lt 3 ]; do :; done",
    ] {
        assert!(!is_template(text, Delimiters::Object), "{text}");
        assert_eq!(render(text).unwrap(), text);
    }
    assert_eq!(render("$((1+1)) (( .index )) $((2))").unwrap(), "$((1+1)) 1 $((2))");
    assert_eq!(render("(( \"$\" ))(( .index ))").unwrap(), "$1");
    assert_eq!(render("(( \"((\" )) i++ ))").unwrap(), "(( i++ ))");
    // Only the object side: a pack passes it through and may still use `${{`.
    assert_eq!(pack("$((1)) ${{ .a }}", &json!({"a": 1})).unwrap(), "$((1)) $1");
}

#[test]
fn packs_have_nested_variables_and_no_lookup() {
    let variables =
        json!({"traefik": {"certificate": "pem", "ports": [80, 443]}, "big": 1_000_000});
    let text = "{{ .traefik.certificate }} {{ range .traefik.ports }}{{ . }},{{ end }} {{ .big }} (( .x ))";
    assert_eq!(pack(text, &variables).unwrap(), "pem 80,443, 1000000 (( .x ))");
    let error = pack("{{ .traefik.nope }}", &variables).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::MissingKey { key: "nope".into() });
    let error = pack("{{ lookup \"secret/a/b:c\" }}", &variables).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::UnknownFunction { name, hint }
        if name == "lookup" && hint.contains("((")));
}

#[test]
fn missing_keys_are_named_with_their_position() {
    let error = render("a: (( .name ))\nb: é (( .name | upper )) (( .passwort ))\n").unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::MissingKey { key: "passwort".into() });
    assert_eq!((error.line(), error.column()), (2, 29));
    assert_eq!(
        error.to_string(),
        "line 2, column 29: no value for `.passwort`: define the variable or correct its name"
    );
}

#[test]
fn errors_point_at_the_call() {
    let error = render("x\n(( add 1 (div \"a\" 1) ))").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BadArgument { function, .. } if function == "div"));
    assert_eq!((error.line(), error.column()), (2, 11));
}

#[test]
fn structure_is_checked() {
    for (text, part) in [
        ("(( if true ))x", "`if` has no `end`"),
        ("x(( end ))y", "`end` without"),
        ("(( else ))", "`else` without"),
        ("(( if true ))(( else ))(( else ))(( end ))", "`else` without"),
        ("(( .name", "is not closed by `))`"),
        ("(( f (x ))", "unexpected `)`"),
        ("(( \"a\nb\" ))", "unterminated string"),
        ("(( `a ))", "unterminated raw string"),
        ("(( /* a ))", "unclosed comment"),
        ("(( /* a */ b ))", "a comment ends with"),
        ("(( break ))", "outside of `range`"),
        ("(( .a b c", "not closed"),
        ("(( ))", "empty command"),
        ("(( # ))", "unexpected character"),
        ("(( .a } ))", "unexpected character"),
        ("(( if true ))(( define \"x\" ))(( end ))(( end ))", "`define` inside"),
        ("(( define \"x\" ))a(( end ))(( define \"x\" ))b(( end ))", "defined twice"),
        ("(( template \"x\" ))", "no template named `x`"),
        ("(( $x ))", "undeclared template variable `$x`"),
        ("(( $x = 1 ))", "undeclared template variable `$x`"),
        ("(( if $x := 1 ))(( end ))(( $x ))", "undeclared template variable `$x`"),
        ("(( if false ))(( nope 1 ))(( end ))", "unknown function `nope`"),
        ("(( .name 1 ))", "can't give argument to non-function"),
        ("(( nil ))", "nil is not a command"),
        ("(( .name.first ))", "can't evaluate field first"),
        ("(( range \"abc\" ))(( end ))", "cannot range over string"),
    ] {
        let error = render(text).expect_err(text);
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert!(!error.to_string().contains("u{"), "{text}: {error}");
    }
}

#[test]
fn check_needs_no_values() {
    let text = "(( if .debug ))(( lookup \"secret/a/b:c\" ))(( end ))\
                (( \"configuration/a/b:d\" | lookup | upper ))\
                (( range .items ))(( .inner ))(( $.outer ))(( end ))\
                (( lookup \"runtime/container/configuration:fqdn\" ))\
                (( lookup (printf \"secret/%s/x:y\" .group) ))";
    let checked = check(text, Delimiters::Object, true).unwrap();
    let lookups: Vec<String> = checked.lookups.iter().map(ToString::to_string).collect();
    assert_eq!(lookups, ["secret/a/b:c", "configuration/a/b:d"]);
    let variables: Vec<&str> = checked.variables.iter().map(String::as_str).collect();
    assert_eq!(variables, ["debug", "fqdn", "group", "items", "outer"]);

    assert!(check("(( lookup \"resource/a/b:c\" ))", Delimiters::Object, true).is_err());
    assert!(check("(( lookup \"secret/a/b\" ))", Delimiters::Object, true).is_err());
    let error = check("(( lookup \"secret/a/b:c\" ))", Delimiters::Object, false).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::UnknownFunction { .. }));
    assert!(check("no template", Delimiters::Object, false).unwrap().lookups.is_empty());
}
