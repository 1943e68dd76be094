//! Changing the authority of a running cluster, and how authorities are stored.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod support;

use smr_pki::{
    Alpn, AuthoritiesError, Authority, AuthoritySet, Credentials, DataKey, ExpectedPeer,
    ExpiredPeers, ExposeSecret as _, JoinToken, NodeKey, NodeOutcome, Role, RotationError,
    RotationPhase, SealedAuthorities, Subject, TlsMaterial, TrustBundle, client_config,
    explain_handshake, join_client_config,
};

use crate::support::{DAY, dial, now};

fn authority() -> Authority {
    Authority::create(DAY * 100, now()).unwrap()
}

fn member(id: u64) -> Subject {
    Subject::member(&format!("node-{id}"), id, &[], &[]).unwrap()
}

/// A node of the cluster: what it presents and whom it trusts change while its servers run.
struct Node {
    id: u64,
    dir: tempfile::TempDir,
    tls: TlsMaterial,
}

impl Node {
    fn new(id: u64, set: &AuthoritySet) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (credentials, outcome) = credentials(id, set, &dir);
        assert_eq!(outcome, NodeOutcome::Issued);
        Self { id, dir, tls: TlsMaterial::new(&credentials).unwrap() }
    }

    /// The node learns of the stored authorities.
    fn learn(&self, set: &AuthoritySet) -> NodeOutcome {
        self.tls.reload_trust(&set.trust()).unwrap();
        let (credentials, outcome) = credentials(self.id, set, &self.dir);
        self.tls.reload(&credentials).unwrap();
        outcome
    }
}

fn credentials(id: u64, set: &AuthoritySet, dir: &tempfile::TempDir) -> (Credentials, NodeOutcome) {
    let path = dir.path().join("node.pem");
    let (credentials, outcome) = set.node_credentials(&path, &member(id), DAY, now()).unwrap();
    let saved = Credentials::load(&path).unwrap().unwrap();
    assert_eq!(saved.bundle().expose_secret(), credentials.bundle().expose_secret());
    assert_eq!(*saved.authorities(), set.trust());
    (credentials, outcome)
}

/// Every node reaches every other.
async fn all_talk(nodes: &[Node]) {
    for server in nodes {
        let serving = server.tls.peer_server_config(ExpiredPeers::Refuse).unwrap();
        for client in nodes {
            let config = client.tls.peer_client_config(ExpectedPeer::Node(server.id)).unwrap();
            dial(serving.clone(), config, "203.0.113.9").await.unwrap();
        }
    }
}

#[tokio::test]
async fn at_every_step_every_node_talks_to_every_other() {
    let set = AuthoritySet::new(authority());
    let nodes = [Node::new(1, &set), Node::new(2, &set), Node::new(3, &set)];
    // Servers and clients are made once; what they present and believe changes under them.
    let api = nodes[0].tls.server_config().unwrap();
    let kim = set.issue(&Subject::user("kim", Role::Viewer).unwrap(), DAY, now()).unwrap();
    let old_user = || client_config(&kim, Alpn::Http).unwrap();
    dial(api.clone(), old_user(), "localhost").await.unwrap();

    let begun = set.begin(authority()).unwrap();
    let switched = begun.switch().unwrap();
    let finished = switched.finish().unwrap();
    let mut known = vec![(begun, NodeOutcome::Kept), (switched, NodeOutcome::Issued)];
    known.push((finished.clone(), NodeOutcome::Kept));
    for (set, expected) in known {
        for node in &nodes {
            assert_eq!(node.learn(&set), expected, "{:?}", set.phase());
            all_talk(&nodes).await; // some know of the step, some do not
        }
    }

    // A context from before the rotation is of the authority that was dropped.
    let failure = dial(api.clone(), old_user(), "localhost").await.unwrap_err();
    assert!(failure.client.is_some());
    let kim = finished.issue(&Subject::user("kim", Role::Viewer).unwrap(), DAY, now()).unwrap();
    dial(api.clone(), client_config(&kim, Alpn::Http).unwrap(), "localhost").await.unwrap();
    // Somebody who kept a certificate of the old one is told why.
    let old = set.issue(&member(9), DAY, now()).unwrap().with_authorities(finished.trust());
    let client = client_config(&old, Alpn::Http).unwrap();
    let failure = dial(api, client, "localhost").await.unwrap_err();
    assert_eq!(
        explain_handshake(&failure.client.unwrap()).unwrap(),
        "the other side does not know the authority that signed our certificate: it belongs to \
         another cluster, or to an authority that was replaced"
    );
}

#[tokio::test]
async fn a_context_made_during_a_rotation_outlives_it() {
    let begun = AuthoritySet::new(authority()).begin(authority()).unwrap();
    let kim = begun.issue(&Subject::user("kim", Role::Viewer).unwrap(), DAY, now()).unwrap();
    let bundle = kim.bundle();
    let kim = Credentials::from_bundle(bundle.expose_secret(), "the test").unwrap();
    assert_eq!(kim.authorities().hashes().len(), 2);
    let switched = begun.switch().unwrap();
    let node = Node::new(1, &switched);
    let server = node.tls.server_config().unwrap();
    dial(server, client_config(&kim, Alpn::Http).unwrap(), "localhost").await.unwrap();
}

#[tokio::test]
async fn a_token_made_during_a_rotation_leads_to_nodes_before_and_after_the_next_step() {
    let begun = AuthoritySet::new(authority()).begin(authority()).unwrap();
    let switched = begun.switch().unwrap();
    for token in [&begun, &switched].map(|set| set.join_token(&["a".to_owned()], DAY, now())) {
        let token = JoinToken::parse(&token.unwrap().to_string(), now()).unwrap();
        for node in [Node::new(1, &begun), Node::new(2, &switched)] {
            let server = node.tls.server_config().unwrap();
            let client = join_client_config(&token).unwrap();
            dial(server, client, "203.0.113.9").await.unwrap();
        }
    }
}

#[test]
fn a_member_keeps_its_key_when_its_certificate_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (path, file) = (dir.path().join("node.pem"), dir.path().join("node.key"));
    let key = NodeKey::load_or_create(&file).unwrap();
    let set = AuthoritySet::new(authority());
    let certify = |set: &AuthoritySet, key: &NodeKey, id| {
        let (credentials, outcome) = set.certify(key, &path, &member(id), DAY, now()).unwrap();
        credentials.check("the test", now()).unwrap();
        assert_eq!(credentials.identity().key_id, key.id());
        assert_eq!(Credentials::load(&path).unwrap().unwrap().identity(), credentials.identity());
        (credentials.identity().serial.clone(), outcome)
    };
    let (first, outcome) = certify(&set, &key, 1);
    assert_eq!(outcome, NodeOutcome::Issued);
    assert_eq!(certify(&set, &key, 1), (first.clone(), NodeOutcome::Kept));
    let begun = set.begin(authority()).unwrap();
    assert_eq!(certify(&begun, &key, 1), (first, NodeOutcome::Kept));
    assert_eq!(certify(&begun.switch().unwrap(), &key, 1).1, NodeOutcome::Issued);
    assert_eq!(certify(&set, &key, 2).1, NodeOutcome::Issued, "another id");
    let other = NodeKey::load_or_create(&dir.path().join("other.key")).unwrap();
    assert_eq!(certify(&set, &other, 2).1, NodeOutcome::Issued, "another key");
}

#[test]
fn steps_are_taken_in_order() {
    let (old, new) = (authority(), authority());
    let set = AuthoritySet::new(old.clone());
    assert_eq!(set.phase(), RotationPhase::Stable);
    assert_eq!(set.switch().unwrap_err(), RotationError::NotBegun);
    assert_eq!(set.finish().unwrap_err(), RotationError::NotSwitched);
    assert_eq!(set.cancel().unwrap_err(), RotationError::NothingToCancel);
    assert_eq!(set.begin(old.clone()).unwrap_err(), RotationError::SameAuthority);

    let begun = set.begin(new.clone()).unwrap();
    assert_eq!(begun.phase(), RotationPhase::Begun);
    assert_eq!((begun.active().hash(), begun.next().unwrap().hash()), (old.hash(), new.hash()));
    assert_eq!(begun.trust().hashes(), [old.hash(), new.hash()]);
    assert_eq!(begun.begin(authority()).unwrap_err(), RotationError::InProgress);
    assert_eq!(begun.finish().unwrap_err(), RotationError::NotSwitched);
    assert_eq!(begun.cancel().unwrap().trust(), set.trust());

    let switched = begun.switch().unwrap();
    assert_eq!(switched.phase(), RotationPhase::Switched);
    assert_eq!(switched.active().hash(), new.hash());
    assert_eq!(switched.trust().hashes(), [new.hash(), old.hash()]);
    assert_eq!(switched.begin(authority()).unwrap_err(), RotationError::InProgress);
    assert_eq!(switched.switch().unwrap_err(), RotationError::NotBegun);
    assert_eq!(switched.finish().unwrap().trust().hashes(), [new.hash()]);
}

#[test]
fn stored_authorities_open_with_the_data_key_and_show_no_key() {
    let data_key = DataKey::from_bytes(&[7; 32]);
    let set = AuthoritySet::new(authority());
    let begun = set.begin(authority()).unwrap();
    for set in [set, begun.clone(), begun.switch().unwrap()] {
        let json = serde_json::to_string_pretty(&set.seal(&data_key).unwrap()).unwrap();
        for authority in [Some(set.active()), set.next()].into_iter().flatten() {
            let pem = authority.key().to_pem();
            for line in pem.expose_secret().lines().skip(1) {
                assert!(!json.contains(line));
            }
        }
        assert!(!json.contains("PRIVATE KEY"));
        let sealed: SealedAuthorities = serde_json::from_str(&json).unwrap();
        assert_eq!(sealed.trust().unwrap(), set.trust());
        let opened = sealed.open(&data_key).unwrap();
        assert_eq!((opened.phase(), opened.trust()), (set.phase(), set.trust()));
        let kim = opened.issue(&Subject::user("kim", Role::Viewer).unwrap(), DAY, now()).unwrap();
        kim.check("the test", now()).unwrap();

        let AuthoritiesError::Seal { hash, .. } =
            sealed.open(&DataKey::from_bytes(&[8; 32])).unwrap_err()
        else {
            panic!("another data key opened it");
        };
        assert_eq!(hash, set.active().hash());
    }
}

#[test]
fn a_stored_key_belongs_to_its_certificate() {
    let data_key = DataKey::from_bytes(&[7; 32]);
    let sealed = |authority| {
        serde_json::to_value(AuthoritySet::new(authority).seal(&data_key).unwrap()).unwrap()
    };
    let (mut mixed, other) = (sealed(authority()), sealed(authority()));
    mixed["active"]["key"] = other["active"]["key"].clone();
    let mixed: SealedAuthorities = serde_json::from_value(mixed).unwrap();
    assert!(matches!(mixed.open(&data_key), Err(AuthoritiesError::Seal { .. })));
}

#[test]
fn an_authority_is_made_of_what_is_its_own() {
    let (one, two) = (authority(), authority());
    let key = one.key().to_pem();
    let read = Authority::from_pem(&one.certificate_pem(), key.expose_secret(), "the test");
    assert_eq!(read.unwrap().hash(), one.hash());
    let refused = |certificate: &str, key: &str| {
        Authority::from_pem(certificate, key, "the backup").unwrap_err().to_string()
    };
    assert_eq!(
        refused(&two.certificate_pem(), key.expose_secret()),
        "the private key in the backup does not belong to its certificate"
    );
    let kim = one.issue(&Subject::user("kim", Role::Admin).unwrap(), DAY, now()).unwrap();
    assert_eq!(
        refused(&kim.certificate_pem(), kim.key().to_pem().expose_secret()),
        "the certificate in the backup is not that of an authority"
    );
    assert!(TrustBundle::from_pem(&one.certificate_pem(), "the test").unwrap() == one.trust());
}
