//! A cluster of one node with its authority, and machines that want to join it.

use std::time::Duration;

use jiff::Timestamp;
use smr_control::{Control, MemberFacts, Registration};
use smr_model::Member;
use smr_pki::{Authority, AuthoritySet, Credentials, Identity, JoinToken, NodeKey, Role, Subject};
use smr_wire::{JoinRequest, JoinResponse, TokenCreate, TokenCreated};

use super::Fixture;

pub(crate) const DAY: Duration = Duration::from_hours(24);

pub(crate) fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// `hours` after [`now`].
pub(crate) fn at(hours: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_hours(hours)
}

pub(crate) fn facts(epoch: u64, instance: &str) -> MemberFacts {
    MemberFacts {
        name: "node-1".to_owned(),
        peer: "192.0.2.1:9212".to_owned(),
        api: "https://192.0.2.1:1443".to_owned(),
        key_id: "founder".to_owned(),
        epoch,
        instance: instance.to_owned(),
    }
}

/// The first member, with authorities.
pub(crate) async fn founded() -> Fixture {
    let it = super::control().await;
    found(&it).await;
    it
}

pub(crate) async fn found(control: &Control) -> Member {
    let authority = Authority::create(DAY * 3650, now()).unwrap();
    assert!(control.found_authorities(&AuthoritySet::new(authority)).await.unwrap());
    registered(control.register_founder(&facts(1, "first"), now()).await.unwrap())
}

pub(crate) fn registered(registration: Registration) -> Member {
    match registration {
        Registration::Registered(member) => member,
        Registration::Refused(why) => panic!("{why}"),
    }
}

/// A machine with a key of its own.
pub(crate) struct Machine {
    pub(crate) key: NodeKey,
    pub(crate) request: JoinRequest,
}

pub(crate) fn machine(name: Option<&str>, address: &str) -> Machine {
    let dir = tempfile::TempDir::new().unwrap();
    let key = NodeKey::load_or_create(&dir.path().join("node.key")).unwrap();
    let subject = Subject::node(name.unwrap_or("new"), &[], &[]).unwrap();
    let request = JoinRequest {
        name: name.map(str::to_owned),
        request: key.request(&subject).unwrap(),
        peer: format!("{address}:9212"),
        api: format!("https://{address}:1443"),
        ..JoinRequest::default()
    };
    Machine { key, request }
}

/// An administrator, as a server sees one.
pub(crate) fn admin() -> Identity {
    identity("kim", Role::Admin)
}

pub(crate) fn identity(name: &str, role: Role) -> Identity {
    Identity {
        name: name.to_owned(),
        role,
        node_id: None,
        serial: format!("{:032x}", 7),
        key_id: name.to_owned(),
        not_after: at(1000),
    }
}

pub(crate) async fn token(control: &Control, wanted: TokenCreate) -> TokenCreated {
    control.create_token(&wanted, &super::kim(), now()).await.unwrap()
}

/// Who comes with the token.
pub(crate) fn joiner(token: &TokenCreated) -> Identity {
    let token = JoinToken::parse(token.token.expose(), now()).unwrap();
    token.credentials().identity().clone()
}

pub(crate) async fn join(
    control: &Control,
    machine: &Machine,
    caller: &Identity,
) -> Result<JoinResponse, smr_control::Error> {
    control.join(&machine.request, caller, DAY * 90, now()).await
}

pub(crate) fn credentials(machine: &Machine, answer: &JoinResponse) -> Credentials {
    machine.key.complete(&answer.certificate, &answer.authorities).unwrap()
}
