//! `lookup`, and that its values stay out of errors.

use std::cell::Cell;
use std::collections::BTreeMap;

use smr_template::{ErrorKind, Lookup, LookupError, Reference};

use super::{Objects, object_text, variables};

#[test]
fn worked_example() {
    let objects = Objects::default()
        .with("secret/mysql/password", "password", "c2VjcmV0LXBhc3N3b3Jk")
        .with("configuration/mysql/envs", "password", "(( printf \"test\" ))")
        .with("configuration/mysql/config", "fromConfigResource", "testing");
    let mut known =
        variables(&[("name", "mysql-mysql-1"), ("username", "root"), ("secret", "secret")]);
    for (key, template) in [
        ("testing", "testing2=(( .name ))"),
        ("password", "(( lookup \"secret/mysql/password:password\" | base64decode ))"),
        ("fromConfigResource", "(( lookup \"configuration/mysql/config:fromConfigResource\" ))"),
    ] {
        let value = object_text(template, &known, Some(&objects)).unwrap().text;
        known.insert(key.to_owned(), value);
    }
    let rendered = |text| object_text(text, &known, Some(&objects)).unwrap();
    assert_eq!(
        rendered("MYSQL_ROOT_PASSWORD=(( .password ))").text,
        "MYSQL_ROOT_PASSWORD=secret-password"
    );
    assert_eq!(rendered("CONTAINER_NAME=(( .name ))").text, "CONTAINER_NAME=mysql-mysql-1");
    assert_eq!(known["testing"], "testing2=mysql-mysql-1");
    let file = rendered(
        "(( lookup \"configuration/mysql/envs:password\" ))\n\
         (( lookup \"secret/mysql/password:password\" ))\n\
         (( lookup \"secret/mysql/password:password\" | base64decode ))\n\
         (( lookup \"simplecontainer.io/v1/kind/secret/mysql/password:password\" ))\n\
         (( lookup \"runtime/container/configuration:name\" ))\n\
         (( .password )) (( .secret ))",
    );
    assert_eq!(
        file.text,
        "test\nc2VjcmV0LXBhc3N3b3Jk\nsecret-password\nc2VjcmV0LXBhc3N3b3Jk\nmysql-mysql-1\n\
         secret-password secret"
    );
    let used: Vec<String> = file.lookups.iter().map(ToString::to_string).collect();
    assert_eq!(used, ["secret/mysql/password:password", "configuration/mysql/envs:password"]);
    assert!(!format!("{file:?}").contains("secret-password"));
}

#[test]
fn computed_references_are_resolved() {
    let objects = Objects::default()
        .with("configuration/app/index", "a", "secret/app/one:k")
        .with("secret/app/one", "k", "1")
        .with("secret/app/two", "k", "2");
    let text = "(( range list \"one\" \"two\" ))(( lookup (printf \"secret/app/%s:k\" .) ))(( end ))\
                (( lookup (lookup \"configuration/app/index:a\") ))";
    let rendered = object_text(text, &BTreeMap::new(), Some(&objects)).unwrap();
    assert_eq!(rendered.text, "121");
    assert_eq!(rendered.lookups.len(), 3);
}

#[test]
fn missing_objects_are_told_from_other_failures() {
    let objects = Objects::default().with("secret/a/b", "k", "v").with(
        "configuration/a/inner",
        "k",
        "(( .nothing ))",
    );
    let fail = |text: &str| object_text(text, &BTreeMap::new(), Some(&objects)).unwrap_err();

    let error = fail("\n  (( lookup \"secret/a/none:k\" ))");
    let wanted: Reference = "secret/a/none:k".parse().unwrap();
    assert_eq!(error.missing_object(), Some(&wanted));
    assert_eq!((error.line(), error.column()), (2, 6));
    assert!(error.to_string().contains("object `simplecontainer.io/v1/kind/secret/a/none`"));

    let error = fail("(( lookup \"secret/a/b:none\" ))");
    assert!(matches!(error.kind(), ErrorKind::Lookup(LookupError::MissingKey { .. })));
    assert_eq!(error.missing_object(), None);

    let error = fail("(( lookup (print \"resource/a/b:k\") ))");
    assert!(matches!(error.kind(), ErrorKind::Lookup(LookupError::Unsupported { .. })));

    let error = fail("(( lookup \"configuration/a/inner:k\" ))");
    assert!(matches!(error.kind(), ErrorKind::Lookup(LookupError::Inner { .. })));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains(".nothing"));

    let error = fail("(( lookup \"runtime/container/configuration:none\" ))");
    assert!(matches!(error.kind(), ErrorKind::Lookup(LookupError::MissingKey { .. })));
}

#[test]
fn branches_not_taken_need_no_objects() {
    let text = "(( if false ))(( lookup \"secret/a/none:k\" ))(( end ))ok";
    let rendered = object_text(text, &BTreeMap::new(), Some(&Objects::default())).unwrap();
    assert_eq!(rendered.text, "ok");
    assert!(rendered.lookups.is_empty());
}

#[test]
fn each_object_is_read_once() {
    struct Counting(Cell<usize>);
    impl Lookup for Counting {
        fn lookup(&self, _: &Reference) -> Result<String, LookupError> {
            self.0.set(self.0.get() + 1);
            Ok("v".to_owned())
        }
    }
    let counting = Counting(Cell::new(0));
    let text = "(( range 50 ))(( lookup \"secret/a/b:k\" ))(( end ))";
    let rendered = object_text(text, &BTreeMap::new(), Some(&counting)).unwrap();
    assert_eq!((rendered.text.len(), counting.0.get()), (50, 1));
}

/// A computed reference is named all the same: it is the object to create.
#[test]
fn computed_references_are_named_when_missing() {
    let text = "(( lookup (printf \"secret/%s/x:y\" .name) ))";
    let known = variables(&[("name", "shop")]);
    let error = object_text(text, &known, Some(&Objects::default())).unwrap_err();
    assert_eq!(error.missing_object().unwrap().to_string(), "secret/shop/x:y");
}

#[test]
fn values_never_appear_in_errors() {
    let value = "s3cr3t";
    let objects = Objects::default().with("secret/a/b", "k", value);
    for expression in [
        "S | toInt",
        "S | fromJson",
        "S | base64decode",
        "S | date \"2006\"",
        "dateInZone \"2006\" S now",
        "regexMatch (print \"(\" S) \"a\"",
        "S | add 1",
        "add 1 S",
        "join \",\" S",
        "index S 99",
        "index (dict) S | upper",
        "slice S 5 99",
        "S | len | upper",
        "eq S 1",
        "lt S 1",
        "call S",
        "printf (list S)",
        "ternary S 1 2",
        "lookup S",
        "lookup (print S \":\" S)",
        "lookup (printf \"%s/a/b:c\" S)",
        "(dict \"a\" S).b",
        "(list S).b",
        "S.b",
        "get S \"x\"",
    ] {
        let text = format!("(( {} ))", expression.replace('S', "(lookup \"secret/a/b:k\")"));
        let Err(error) = object_text(&text, &BTreeMap::new(), Some(&objects)) else { continue };
        assert!(!format!("{error} {error:?}").contains(value), "{text}: {error}");
    }
}
