//! Contexts: export, import, switching.

use std::{fs, time::Duration};

use jiff::Timestamp;
use smr_pki::{Authority, Context, ContextStore, Role, Subject};

use crate::run::Place;

const DAY: Duration = Duration::from_hours(24);

fn with_context(name: &str) -> Place {
    let place = Place::new();
    let authority = Authority::create(DAY, Timestamp::now()).unwrap();
    let subject = Subject::user("me", Role::Viewer).unwrap();
    let bundle = authority.issue(&subject, DAY, Timestamp::now()).unwrap().bundle();
    let store = ContextStore::open(place.home().join(".smrctl/contexts"));
    // A port nobody listens on.
    store.save(&Context::new(name, "localhost:1", bundle).unwrap()).unwrap();
    store.switch(name).unwrap();
    place
}

#[test]
fn an_exported_context_can_be_imported_in_every_spelling() {
    let place = with_context("prod");
    assert_eq!(place.run(&["smrctl", "context"]).stdout, "prod\n");
    let exported = place.run(&["smrctl", "context", "export", "--api", "node.example.com:1443"]);
    assert_eq!((exported.code, exported.stderr.as_str()), (0, ""));
    let line = exported.stdout.trim().to_owned();
    let (text, key) = line.split_once(' ').unwrap();
    let import = ["smrctl", "context", "import"];
    let success = "context 'node.example.com' successfully imported and set as active\n";
    let spellings: [(&[&str], &str); 5] = [
        (&[text, key, "--offline"], ""),
        (&[&line, "--offline"], ""),
        (&[text, "--offline"], key),
        (&["--offline"], &line),
        (&[text, key, "-y", "--offline"], ""),
    ];
    for (arguments, input) in spellings {
        let fresh = Place::new();
        let ran = fresh.run_with(&[&import[..], arguments].concat(), input);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, success, ""));
        assert_eq!(fresh.run(&["smrctl", "context"]).stdout, "node.example.com\n");
    }
    let wrong = key.replace(['0', '1', '2'], "3");
    let ran = place.run(&["smrctl", "context", "import", text, &wrong]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.stderr,
        "error: the exported context does not open: the key is wrong or the text was changed or \
         cut off\nhint: copy the whole line that `smrctl context export` printed, or export again\n"
    );
}

#[test]
fn an_address_of_this_machine_is_exported_with_a_warning() {
    let place = with_context("prod");
    let ran = place.run(&["smrctl", "context", "export"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1));
    assert_eq!(
        ran.stderr,
        "warning: `https://localhost:1` reaches the cluster on this machine only; for other \
         machines name an address of the node: `smrctl context export --api HOST:PORT`\n"
    );
    let ran = place.run(&["smrctl", "context", "export", "--api", "[::1]:1443"]);
    assert!(ran.stderr.starts_with("warning: `https://[::1]:1443`"), "{}", ran.stderr);
}

#[test]
fn an_existing_context_is_replaced_only_on_demand() {
    let place = with_context("prod");
    let line = place.run(&["smrctl", "context", "export"]).stdout;
    let import = ["smrctl", "context", "import", line.trim(), "--offline", "--name", "prod"];
    let ran = place.run(&import);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert_eq!(
        ran.stderr,
        "error: context with the same name exists: `prod`\n\
         hint: replace it with `-y`, or choose another name\n"
    );
    assert_eq!(place.run(&[&import[..], &["--yes"]].concat()).code, 0);
}

#[test]
fn a_user_is_made_from_the_authority_and_can_be_imported() {
    let place = Place::new();
    let data = place.home().join("data");
    let create = |more: &[&str]| {
        let data = data.to_string_lossy().into_owned();
        let create = ["smr", "user", "create", "bob", "--data-dir", &data];
        place.run(&[&create[..], more].concat())
    };
    let without = create(&["--role", "viewer"]);
    assert_eq!((without.code, without.stdout.as_str()), (1, ""));
    assert!(without.stderr.contains("holds no authority"), "{}", without.stderr);
    let now = Timestamp::now();
    Authority::load_or_create(&data.join("pki"), DAY * 100, now).unwrap();

    let made = create(&["--role", "viewer", "--api", "n.example.com:9", "--days", "3"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert_eq!(made.stdout.lines().count(), 1, "nothing else on standard output");
    assert!(made.stderr.contains("`bob` is viewer at https://n.example.com:9 until"));
    let fresh = Place::new();
    let import = ["smrctl", "context", "import", "--offline", "--name", "there"];
    assert_eq!(fresh.run_with(&import, &made.stdout).code, 0);
    let store = ContextStore::open(fresh.home().join(".smrctl/contexts"));
    let credentials = store.get("there").unwrap().credentials().unwrap();
    assert_eq!(credentials.identity().role, Role::Viewer);
    assert_eq!(credentials.identity().name, "bob");
    let left = credentials.validity().not_after.duration_since(now).as_hours();
    assert!((71..=72).contains(&left), "{left}");

    let save = ["--role", "admin", "--save"];
    let saved = create(&save);
    assert_eq!((saved.code, saved.stdout.as_str()), (0, "context saved: bob\n"));
    assert_eq!(create(&save).code, 1, "nothing is replaced unasked");
    assert_eq!(create(&[&save[..], &["-y"]].concat()).code, 0);
    let store = ContextStore::open(place.home().join(".smrctl/contexts"));
    let own = store.get("bob").unwrap();
    assert_eq!(own.api_url(), "https://localhost:1443");
    assert_eq!(own.credentials().unwrap().identity().role, Role::Admin);
    assert_eq!(create(&["--role", "node"]).code, 2, "no user is a node");

    // Started with flags, the node answers elsewhere than its configuration says.
    place.file("smr.toml", "[node]\nname = \"n-1\"\n");
    store.save(&Context::new("n-1", "localhost:2443", own.bundle().clone()).unwrap()).unwrap();
    assert_eq!(create(&["--role", "admin", "--save", "-y", "--config", "smr.toml"]).code, 0);
    assert_eq!(store.get("bob").unwrap().api_url(), "https://localhost:2443");
}

#[test]
fn switching_listing_removing() {
    let place = with_context("prod");
    let line = place.run(&["smrctl", "context", "export", "active"]).stdout;
    let import = ["smrctl", "context", "import", line.trim(), "--offline", "--name", "test"];
    assert_eq!(place.run(&import).code, 0);
    let list = place.run(&["smrctl", "context", "list", "--output", "name"]);
    assert_eq!(list.stdout, "prod\ntest\n");
    let table = place.run(&["smrctl", "context", "list"]).stdout;
    assert!(table.contains("*       test     https://localhost:1  me    viewer"), "{table}");
    let switch = place.run(&["smrctl", "context", "switch", "prod"]);
    assert_eq!(switch.stdout, "active context is prod\n");
    let remove = place.run(&["smrctl", "context", "remove", "test"]);
    assert_eq!((remove.code, remove.stdout.as_str()), (0, "context removed: test\n"));
}

#[test]
fn nobody_there_is_3() {
    let place = with_context("prod");
    let ran = place.run(&["smrctl", "ps"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""));
    assert!(
        ran.stderr
            .starts_with("error: cannot reach the cluster at `https://localhost:1`\n  caused by: "),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("\nhint: check that the node runs"), "{}", ran.stderr);
}

#[test]
fn no_command_prints_a_key() {
    let place = with_context("prod");
    let file = fs::read_to_string(place.home().join(".smrctl/contexts/prod")).unwrap();
    assert!(file.contains("PRIVATE KEY"));
    for line in [&["smrctl", "context", "list", "--output", "json"][..], &["smrctl", "ps"]] {
        let ran = place.run(line);
        assert!(!(ran.stdout + &ran.stderr).contains("PRIVATE"));
    }
}
