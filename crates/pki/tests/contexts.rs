//! The directory of contexts, export and import.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use jiff::Timestamp;
use proptest::prelude::*;
use smr_pki::{
    Authority, Context, ContextStore, ExportedContext, ExposeSecret as _, LocalAdmin, Role,
    Subject, ensure_local_admin,
};

const DAY: Duration = Duration::from_hours(24);

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn context(name: &str) -> Context {
    let authority = Authority::create(DAY, start()).unwrap();
    let subject = Subject::user("kim", Role::Admin).unwrap();
    let credentials = authority.issue(&subject, DAY, start()).unwrap();
    Context::new(name, "node.example.com:1443", credentials.bundle()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn contexts_are_saved_listed_switched_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join(".smrctl/contexts");
    let store = ContextStore::open(&dir);
    assert_eq!(store.list().unwrap(), Vec::<String>::new());
    assert_eq!(store.current().unwrap_err().to_string(), "no active context found");
    let prod = context("prod");
    store.save(&prod).unwrap();
    store.save(&prod.clone().renamed("default").unwrap()).unwrap();
    fs::write(dir.join("prod.key"), "x").unwrap();
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("prod")), 0o600);
    assert_eq!(store.list().unwrap(), ["default", "prod"]);
    assert_eq!(store.current_name().unwrap().as_deref(), Some("default"));
    store.switch("prod").unwrap();
    assert_eq!(fs::read_to_string(dir.join(".active")).unwrap(), "prod");
    let read = store.current().unwrap();
    assert_eq!((read.name(), read.api_url()), ("prod", "https://node.example.com:1443"));
    assert_eq!(read.bundle().expose_secret(), prod.bundle().expose_secret());
    let error = store.switch("nope").unwrap_err();
    assert_eq!(error.to_string(), "context `nope` does not exist");
    assert_eq!(error.hint().unwrap(), "there are: default, prod");
    store.remove("prod").unwrap();
    assert_eq!(store.current_name().unwrap(), None);
    assert!(store.remove("prod").is_err());
}

#[test]
fn names_cannot_leave_the_directory() {
    let store = ContextStore::open("/nonexistent");
    for name in ["../x", "a/b", "", ".active", "..", "x.key", "-x"] {
        let message = store.get(name).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("`{name}` cannot be the name of a context")),
            "{name}"
        );
        assert!(context("a").renamed(name).is_err());
    }
}

#[test]
fn a_damaged_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("prod"), "{").unwrap();
    let message = ContextStore::open(dir.path()).get("prod").unwrap_err().to_string();
    assert_eq!(message, format!("`{}` is not a context", dir.path().join("prod").display()));
}

#[test]
fn an_export_is_one_line_that_imports_elsewhere() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = ContextStore::open(here.path());
    store.save(&context("prod")).unwrap();
    let line = store.export("prod", Some("10.0.0.5:8443")).unwrap().to_string();
    assert!(line.chars().all(|c| c == ' ' || c.is_ascii_digit() || ('a'..='f').contains(&c)));
    assert!(!line.contains("prod"));
    let (text, key) = line.split_once(' ').unwrap();
    assert_eq!(key.len(), 64);
    let other = ContextStore::open(there.path());
    for parts in [vec![line.as_str()], vec![text, key], vec![text, " ", key]] {
        let exported = ExportedContext::from_parts(parts).unwrap();
        assert_eq!(format!("{exported:?}"), "ExportedContext([REDACTED])");
        let imported = other.import(&exported, None).unwrap();
        assert_eq!((imported.name(), imported.api_url()), ("10.0.0.5", "https://10.0.0.5:8443"));
        assert_eq!(other.import(&exported, Some("mine")).unwrap().name(), "mine");
    }
    assert_eq!(other.list().unwrap(), Vec::<String>::new(), "saving is the caller's");
}

#[test]
fn every_way_an_import_fails_has_its_message() {
    let exported = context("prod").export().unwrap();
    let (text, key) = (exported.text().to_owned(), exported.key().expose_secret().to_owned());
    let refused = |text: &str, key: &str| {
        ExportedContext::from_parts([text, key]).and_then(|e| e.open()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&text, ""),
        "an exported context has two parts, the encrypted text and its key; found 1"
    );
    assert_eq!(
        refused(&format!("{}g0", &text[..10]), &key),
        "the exported context is not hexadecimal: `g` at position 11"
    );
    assert_eq!(refused("abcd", &key), "the exported context is cut off: 4 hexadecimal digits");
    assert_eq!(
        refused(&text[1..], &key),
        format!("the exported context is cut off: {} hexadecimal digits", text.len() - 1)
    );
    assert_eq!(refused(&text, "xyz"), "the key is not hexadecimal");
    assert_eq!(refused(&text, &key[2..]), "the key has 62 hexadecimal digits, it must have 64");
    let closed =
        "the exported context does not open: the key is wrong or the text was changed or cut off";
    assert_eq!(refused(&text, &"0".repeat(64)), closed);
    assert_eq!(refused(&text[2..], &key), closed);
    assert_eq!(refused(&text[..text.len() - 2], &key), closed);
    let changed = if text.ends_with('0') { "1" } else { "0" };
    assert_eq!(refused(&format!("{}{changed}", &text[..text.len() - 1]), &key), closed);
    let empty = Context::new("prod", "a:1", "no PEM".into()).unwrap().export().unwrap();
    assert_eq!(
        empty.open().unwrap_err().to_string(),
        "context `prod` does not hold a readable private key (PKCS#8, PEM label `PRIVATE KEY`)"
    );
}

#[test]
fn the_local_admin_context_is_made_kept_and_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let store = ContextStore::open(dir.path());
    let authority = Authority::create(DAY * 100, start()).unwrap();
    let admin =
        LocalAdmin { context: "default", user: "admin", api: "localhost:1443", lifetime: DAY * 30 };
    let visit = |authority: &Authority, admin, days: u32| {
        let now = start().checked_add(DAY * days).unwrap();
        ensure_local_admin(&store, authority, admin, now).unwrap()
    };
    assert!(visit(&authority, admin, 0));
    assert!(!visit(&authority, admin, 1));
    let current = store.current().unwrap();
    assert_eq!(current.api_url(), "https://localhost:1443");
    assert_eq!(current.credentials().unwrap().identity().role, Role::Admin);
    assert!(visit(&authority, admin, 25), "due");
    assert!(visit(&authority, LocalAdmin { api: "localhost:2443", ..admin }, 25), "other port");
    let other = Authority::create(DAY * 100, start()).unwrap();
    assert!(visit(&other, LocalAdmin { api: "localhost:2443", ..admin }, 25), "another authority");
    fs::write(dir.path().join("default"), "damaged").unwrap();
    assert!(visit(&other, admin, 25), "damaged");
    store.save(&context("prod")).unwrap();
    store.switch("prod").unwrap();
    visit(&other, LocalAdmin { api: "localhost:3443", ..admin }, 25);
    assert_eq!(store.current_name().unwrap().as_deref(), Some("prod"), "the user's choice stays");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_exported_comes_back(name in "[a-z0-9][a-z0-9._-]{0,20}x", port in 1_u16..) {
        let made = context("a").renamed(&name).unwrap().with_api(&format!("h:{port}")).unwrap();
        let line = made.export().unwrap().to_string();
        let back = ExportedContext::from_parts([line.as_str()]).unwrap().open().unwrap();
        prop_assert_eq!(back.name(), made.name());
        prop_assert_eq!(back.api_url(), made.api_url());
        prop_assert_eq!(back.bundle().expose_secret(), made.bundle().expose_secret());
    }

    #[test]
    fn no_text_makes_an_import_panic(text in any::<String>(), key in any::<String>()) {
        let opened = ExportedContext::from_parts([text.as_str(), key.as_str()])
            .and_then(|exported| exported.open());
        prop_assert!(opened.is_err());
    }

    #[test]
    fn no_hex_makes_an_import_panic(text in "[0-9a-f]{0,200}", key in "[0-9a-f]{64}") {
        let opened = ExportedContext::from_parts([text.as_str(), key.as_str()])
            .and_then(|exported| exported.open());
        prop_assert!(opened.is_err());
    }
}
