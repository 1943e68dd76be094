//! The authority and certificates on disk: made once, kept, renewed, and refused when damaged.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use jiff::Timestamp;
use smr_pki::{Authority, Credentials, NodeOutcome, Subject, node_credentials};

const DAY: Duration = Duration::from_hours(24);

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn load(dir: &Path) -> Result<Authority, smr_pki::PkiError> {
    Authority::load_or_create(dir, DAY * 100, start())
}

#[test]
fn the_authority_is_made_once_with_private_files() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data/pki");
    let first = load(&dir).unwrap();
    assert_eq!(load(&dir).unwrap().certificate_pem(), first.certificate_pem());
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("ca.key")), 0o600);
    assert_eq!(first.validity().not_after, start().checked_add(DAY * 100).unwrap());
}

#[test]
fn a_crash_between_key_and_certificate_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path()).unwrap();
    fs::remove_file(dir.path().join("ca.crt")).unwrap();
    load(dir.path()).unwrap();
    load(dir.path()).unwrap();
}

#[test]
fn a_damaged_authority_is_refused_with_its_path_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let refused = || load(dir.path()).unwrap_err().to_string();
    load(dir.path()).unwrap();
    let key = fs::read(dir.path().join("ca.key")).unwrap();
    let certificate = fs::read(dir.path().join("ca.crt")).unwrap();

    fs::remove_file(dir.path().join("ca.key")).unwrap();
    assert_eq!(
        refused(),
        format!("`{}` exists but `{}` is missing", path("ca.crt"), path("ca.key"))
    );

    fs::write(dir.path().join("ca.key"), "x").unwrap();
    assert_eq!(
        refused(),
        format!(
            "`{}` does not hold a readable private key (PKCS#8, PEM label `PRIVATE KEY`)",
            path("ca.key")
        )
    );

    let other = tempfile::tempdir().unwrap();
    load(other.path()).unwrap();
    fs::copy(other.path().join("ca.key"), dir.path().join("ca.key")).unwrap();
    assert_eq!(
        refused(),
        format!("the private key in `{}` does not belong to its certificate", path("ca.key"))
    );

    fs::write(dir.path().join("ca.key"), &key).unwrap();
    fs::write(dir.path().join("ca.crt"), &certificate[..certificate.len() / 2]).unwrap();
    assert_eq!(
        refused(),
        format!("`{}` does not hold a readable certificate (X.509, PEM)", path("ca.crt"))
    );

    fs::write(dir.path().join("ca.crt"), &certificate).unwrap();
    let late = start().checked_add(DAY * 101).unwrap();
    let error = Authority::load_or_create(dir.path(), DAY, late).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the certificate in `{}` expired at 2026-04-11T00:00:00Z", path("ca.crt"))
    );
    assert_eq!(fs::read(dir.path().join("ca.crt")).unwrap(), certificate);
}

#[test]
fn the_nodes_certificate_is_kept_until_it_is_due_or_no_longer_fits() {
    let dir = tempfile::tempdir().unwrap();
    let authority = load(dir.path()).unwrap();
    let path = dir.path().join("node.pem");
    let one = Subject::node("n1", &[], &["192.0.2.1".parse().unwrap()]).unwrap();
    let two = Subject::node("n1", &["b.example.com".to_owned()], &[]).unwrap();
    let at = |days: u32| start().checked_add(DAY * days).unwrap();
    let visit = |authority: &Authority, subject: &Subject, now| {
        node_credentials(&path, authority, subject, DAY * 30, now).unwrap()
    };
    let (first, outcome) = visit(&authority, &one, at(0));
    assert_eq!(outcome, NodeOutcome::Issued);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(visit(&authority, &one, at(19)).1, NodeOutcome::Kept);
    assert!(at(19) < first.renew_at() && first.renew_at() < at(21));
    let (second, outcome) = visit(&authority, &one, at(20));
    assert_eq!(outcome, NodeOutcome::Issued);
    assert_ne!(first.identity().serial, second.identity().serial);
    assert_eq!(visit(&authority, &two, at(20)).1, NodeOutcome::Issued, "other addresses");
    assert_eq!(visit(&authority, &two, at(20)).1, NodeOutcome::Kept);
    let other = Authority::create(DAY * 100, start()).unwrap();
    assert_eq!(visit(&other, &two, at(20)).1, NodeOutcome::Issued, "another authority");
    let (last, _) = visit(&authority, &two, at(90));
    assert_eq!(last.validity().not_after, authority.validity().not_after);
    let (_, outcome) = visit(&authority, &two, at(99));
    assert_eq!(outcome, NodeOutcome::Kept, "a new one would not live longer");
}

#[test]
fn a_damaged_bundle_is_refused_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let authority = load(dir.path()).unwrap();
    let subject = Subject::node("n1", &[], &[]).unwrap();
    let path = dir.path().join("node.pem");
    let visit = || node_credentials(&path, &authority, &subject, DAY, start());
    visit().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let certificate = text.find("-----BEGIN CERT").unwrap();
    fs::write(&path, &text[certificate..]).unwrap();
    assert_eq!(
        visit().unwrap_err().to_string(),
        format!(
            "`{}` does not hold a readable private key (PKCS#8, PEM label `PRIVATE KEY`)",
            path.display()
        )
    );
    let last = text.rfind("-----BEGIN CERT").unwrap();
    fs::write(&path, &text[..last]).unwrap();
    assert_eq!(
        visit().unwrap_err().to_string(),
        format!(
            "`{}` does not hold a readable bundle (private key, certificate and authority's \
             certificate, PEM)",
            path.display()
        )
    );
    fs::write(
        &path,
        text.replacen("PRIVATE KEY", "EC PRIVATE KEY", 1).replacen(
            "END PRIVATE KEY",
            "END EC PRIVATE KEY",
            1,
        ),
    )
    .unwrap();
    Credentials::load(&path).unwrap().unwrap();
}
