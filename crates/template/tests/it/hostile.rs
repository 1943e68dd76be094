//! Templates written to hang or exhaust the node end with an error instead.

use smr_template::{ErrorKind, MAX_OUTPUT};

use super::render;

fn refused(text: &str) {
    match render(text) {
        Ok(rendered) => panic!("rendered {} bytes: {:.60}", rendered.len(), text),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Budget { .. }), "{error}: {:.60}", text)
        }
    }
}

#[test]
fn endless_work() {
    refused("(( range 9000000000000000000 ))(( end ))");
    refused("(( range 1000000000 ))x(( end ))");
    refused("(( range 100000 ))(( range 100000 ))(( if false ))(( end ))(( end ))(( end ))");
    refused("(( define \"a\" ))(( template \"a\" ))(( end ))(( template \"a\" ))");
    let mut doubling = String::from("(( define \"t0\" ))(( .index ))(( end ))");
    for level in 1..60 {
        let below = level - 1;
        doubling.push_str(&format!(
            "(( define \"t{level}\" ))(( template \"t{below}\" . ))(( template \"t{below}\" . ))(( end ))"
        ));
    }
    doubling.push_str("(( template \"t59\" . ))");
    refused(&doubling);
}

#[test]
fn endless_memory() {
    for grow in [
        "print $x $x",
        "printf \"%s%s\" $x $x",
        "printf \"%[1]s%[1]s%[1]s\" $x",
        "list $x $x | toString",
        "list $x $x",
        "dict \"a\" $x \"b\" $x",
        "replaceAll \"a\" $x $x",
        "regexReplaceAll \"a\" $x $x",
        "regexReplaceAll \"a+\" \"$0$0$0\" $x",
        "join $x (split \"\" $x)",
        "indent 4000 (join \"\\n\" (split \"\" $x))",
        "html (print $x $x)",
        "quote (print $x $x)",
        "toJson (list $x $x)",
    ] {
        refused(&format!("(( $x := \"aaaaaaaa\" ))(( range 10000 ))(( $x = {grow} ))(( end ))"));
    }
    refused("(( $x := list ))(( range 100000 ))(( $x = list $x ))(( end ))");
    refused("(( $x := list ))(( range 1000000 ))(( $x = append $x 1 ))(( end ))");
    refused(&format!("(( regexFindAll `.*[^A-Z]|[A-Z]` \"{}\" -1 ))", "A".repeat(200_000)));
    refused(&format!("(( printf \"{}\" 1 ))", "%[1]65000d".repeat(5000)));
    refused(&format!("(( printf \"{}\" 65000 1 ))", "%[1]*[2]d".repeat(5000)));
    refused(&format!("(( $x := \"{}\" ))(( range 1000 ))(( $x ))(( end ))", "a".repeat(10_000)));
    let largest = MAX_OUTPUT / 1024;
    let text =
        format!("(( $x := \"{}\" ))(( range {largest} ))(( $x ))(( end ))", "a".repeat(1024));
    assert_eq!(render(&text).unwrap().len(), MAX_OUTPUT);
}

#[test]
fn deep_nesting_is_a_syntax_error() {
    for text in [
        format!("(( {}1{} ))", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{}{}", "(( if true ))".repeat(50_000), "(( end ))".repeat(50_000)),
        format!("(( if false )){}(( end ))", "(( else if false ))".repeat(50_000)),
        format!("{}{}", "(( range 1 ))".repeat(65), "(( end ))".repeat(65)),
    ] {
        let error = render(&text).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Syntax { .. }), "{error}");
    }
    let deepest = format!("{}x{}", "(( range 1 ))".repeat(64), "(( end ))".repeat(64));
    assert_eq!(render(&deepest).unwrap(), "x");
    let parentheses = format!("(( {}1{} ))", "(print ".repeat(24), ")".repeat(24));
    assert_eq!(render(&parentheses).unwrap(), "1");
}

#[test]
fn deep_json_is_refused() {
    let text = format!("(( fromJson `{}{}` ))", "[".repeat(100_000), "]".repeat(100_000));
    assert!(render(&text).is_err());
}
