//! Members: who is one, how a node becomes one, and how it says at every start that it still is.
//!
//! A node counts in its data directory how often the directory was opened: its epoch. At start it
//! puts the count into its record, compare-and-set. A directory that was copied, or restored from
//! an old copy, brings a count that the cluster has seen already, and its node is told so instead
//! of answering in the name of the other one.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smr_model::{Member, NodeRole};
use smr_pki::{Identity, Role, Subject, request_key_id};
use smr_state::{Compare, Op, RangeQuery, Revision, Txn};
use smr_wire::{JoinRequest, JoinResponse, Secret};

use crate::{
    Actor, ClusterError, Control, Error,
    certificates::CertificateRecord,
    cluster::{ATTEMPTS, encode, fresh_id, parse, unchanged, untouched},
    keyspace,
    tokens::TokenRecord,
};

/// Most names, and most addresses, that a node asks for in its certificate.
const NAMES: usize = 64;

/// What a node says of itself when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFacts {
    /// Name; of a member the one it joined with counts.
    pub name: String,
    /// Where other nodes reach it, `host:9212`.
    pub peer: String,
    /// Where its control API is reached, `https://host:1443`.
    pub api: String,
    /// Id of its public key, [`Identity::key_id`].
    pub key_id: String,
    /// How often its data directory was opened, this time included; at least 1.
    pub epoch: u64,
    /// Random text of this run of the process, so that an answer that got lost can be asked for
    /// again.
    pub instance: String,
}

/// Whether a node may act as the member it takes itself for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// It may; its record as it is now.
    Registered(Member),
    /// It may not, and has to stop.
    Refused(RegistrationRefused),
}

/// Why a node may not act as a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationRefused {
    /// The member was removed.
    #[error(
        "node `{id}` (`{name}`) was removed from the cluster by {by}; to join again as a new \
         node, empty its data directory first"
    )]
    Removed {
        /// Its id.
        id: u64,
        /// Its name.
        name: String,
        /// Who removed it.
        by: String,
    },
    /// The cluster has seen this count of the data directory, or a later one.
    #[error(
        "the data directory of node `{id}` is a copy: it was opened `{mine}` times, the cluster \
         has seen `{seen}`; run the original, or empty this directory and join as a new node"
    )]
    Copy {
        /// Its id.
        id: u64,
        /// Count of this data directory.
        mine: u64,
        /// Count in the member's record.
        seen: u64,
    },
    /// The member has another key.
    #[error(
        "node `{id}` (`{name}`) of the cluster is another machine: its key is not this one's; \
         empty the data directory and join as a new node"
    )]
    OtherKey {
        /// Its id.
        id: u64,
        /// Its name.
        name: String,
    },
    /// There is a cluster, and no such member in it.
    #[error("node `{id}` is not a member of cluster `{cluster}`; join it first")]
    NotAMember {
        /// Its id.
        id: u64,
        /// Id of the cluster.
        cluster: String,
    },
}

/// A member that was removed, as it is kept under [`keyspace::REMOVED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedMember {
    /// Its id, which is never used again.
    pub id: u64,
    /// Its name, which may be.
    pub name: String,
    /// Id of its public key.
    #[serde(default)]
    pub key_id: String,
    /// When it was removed.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// Where the record of a joining node goes.
struct Place {
    member: Member,
    /// What must still hold when it is written.
    compares: Vec<Compare>,
}

impl Control {
    /// Every member in order of id, from the local copy.
    pub fn members(&self) -> Result<Vec<Member>, Error> {
        Ok(self.records_by_id(keyspace::MEMBERS)?.into_values().collect())
    }

    /// The member with an id, from the local copy.
    pub fn member(&self, id: u64) -> Result<Option<Member>, Error> {
        Ok(self.record(&keyspace::member(id))?.map(|(member, _)| member))
    }

    /// The member that was removed under an id, from the local copy. Peers refuse it by this.
    pub fn removed(&self, id: u64) -> Result<Option<RemovedMember>, Error> {
        Ok(self.record(&keyspace::removed(id))?.map(|(removed, _)| removed))
    }

    /// A member by id or name.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`].
    pub fn find_member(&self, id_or_name: &str) -> Result<Member, Error> {
        let members = self.members()?;
        // Names come first: a node may be called `2`.
        let by_name = members.iter().find(|member| member.name == id_or_name);
        let by_id = || members.iter().find(|member| member.id.to_string() == id_or_name);
        let found = by_name.or_else(by_id).cloned();
        Ok(found.ok_or_else(|| ClusterError::NoNode {
            node: id_or_name.to_owned(),
            known: members.iter().map(|member| member.name.clone()).collect(),
        })?)
    }

    /// Makes this node the first member of a new cluster, or of one that has no member yet, unless
    /// there are members already; then this is [`Control::register_self`].
    pub async fn register_founder(
        &self,
        facts: &MemberFacts,
        now: Timestamp,
    ) -> Result<Registration, Error> {
        let id = self.node_id();
        self.settled().await?;
        if self.members()?.is_empty() {
            let member = Member {
                id,
                name: facts.name.clone(),
                peer: facts.peer.clone(),
                api: facts.api.clone(),
                role: NodeRole::Voter,
                key_id: facts.key_id.clone(),
                epoch: facts.epoch,
                joined: now,
            };
            let mut txn = Txn::new()
                .when(Compare::absent(keyspace::removed(id)))
                .when(unchanged(keyspace::member(id), 0))
                .then(Op::put(keyspace::member(id), encode(&member)))
                .then(Op::put(keyspace::instance(id), facts.instance.as_str()));
            // From the time when a node was always alone there may be an id without a member.
            txn = match self.cluster_id()? {
                Some(_) => txn.when(Compare::exists(keyspace::CLUSTER_ID)),
                None => txn
                    .when(Compare::absent(keyspace::CLUSTER_ID))
                    .then(Op::put(keyspace::CLUSTER_ID, fresh_id(self, "cluster"))),
            };
            let actor = Actor::node(&facts.name);
            let event =
                self.cluster_event("cluster_created", "node", &facts.name, "created", &actor);
            if self.change(txn, event).await?.is_some() {
                return Ok(Registration::Registered(member));
            }
        }
        self.register_self(facts).await
    }

    /// Says to the cluster that this node runs, with which epoch, and where it is reached. To be
    /// called once at every start as soon as there is a leader; after an error again.
    pub async fn register_self(&self, facts: &MemberFacts) -> Result<Registration, Error> {
        let id = self.node_id();
        let key = keyspace::member(id);
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            if let Some(refused) = self.refuse(facts)? {
                return Ok(Registration::Refused(refused));
            }
            let Some((old, seen)) = self.record::<Member>(&key)? else {
                let cluster = self.cluster_id()?.unwrap_or_default();
                let refused = RegistrationRefused::NotAMember { id, cluster };
                return Ok(Registration::Refused(refused));
            };
            let new = Member {
                peer: facts.peer.clone(),
                api: facts.api.clone(),
                key_id: facts.key_id.clone(),
                epoch: facts.epoch,
                ..old.clone()
            };
            if new == old {
                // Only a call of this same process comes past `refuse` with a known epoch.
                return Ok(Registration::Registered(new));
            }
            let txn = Txn::new()
                .when(unchanged(key.as_str(), seen))
                .then(Op::put(key.as_str(), encode(&new)))
                .then(Op::put(keyspace::instance(id), facts.instance.as_str()));
            let actor = Actor::node(&new.name);
            let event = self.cluster_event("node_started", "node", &new.name, "started", &actor);
            if self.change(txn, event).await?.is_some() {
                return Ok(Registration::Registered(new));
            }
        }
        Err(Error::Contended { key: format!("node {id}") })
    }

    /// Whether what the local copy says forbids this node to act as the member it registered as:
    /// it was removed, or another process opened the data directory, or a copy of it, later. To be
    /// asked again whenever the member's record, or [`keyspace::removed`] of it, changes.
    pub fn still_registered(
        &self,
        facts: &MemberFacts,
    ) -> Result<Option<RegistrationRefused>, Error> {
        self.refuse(facts)
    }

    fn refuse(&self, facts: &MemberFacts) -> Result<Option<RegistrationRefused>, Error> {
        let id = self.node_id();
        if let Some(RemovedMember { name, by, .. }) = self.removed(id)? {
            return Ok(Some(RegistrationRefused::Removed { id, name, by }));
        }
        let Some(member) = self.member(id)? else { return Ok(None) };
        let other = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
        if other(&member.key_id, &facts.key_id) {
            return Ok(Some(RegistrationRefused::OtherKey { id, name: member.name }));
        }
        let instance = self.inner.store.get(&keyspace::instance(id))?;
        let is_me = instance.is_some_and(|kv| kv.value == facts.instance.as_bytes());
        if member.epoch > facts.epoch || (member.epoch == facts.epoch && !is_me) {
            let (mine, seen) = (facts.epoch, member.epoch);
            return Ok(Some(RegistrationRefused::Copy { id, mine, seen }));
        }
        Ok(None)
    }

    /// Makes a node a member, on behalf of an administrator or of the holder of a join token: gives
    /// it an id, signs its key for `lifetime`, and writes its record. Asking again with the same
    /// key gives the same id, as long as the node has not started.
    ///
    /// # Errors
    /// [`ClusterError::MayNotJoin`] for other roles, [`ClusterError::TokenRefused`],
    /// [`ClusterError::NodeNameTaken`], [`ClusterError::AlreadyMember`],
    /// [`ClusterError::NodeHidden`], [`ClusterError::NoAuthorities`], [`ClusterError::Pki`].
    pub async fn join(
        &self,
        request: &JoinRequest,
        caller: &Identity,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<JoinResponse, Error> {
        if !caller.role.may_join() {
            let name = caller.name.clone();
            return Err(ClusterError::MayNotJoin { name, role: caller.role }.into());
        }
        check_request(request)?;
        let key_id = request_key_id(&request.request)?;
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let token = self.token_of(caller, now)?;
            let Place { member, compares } = self.place(request, &key_id, token.as_ref(), now)?;
            let (set, authorities_seen) = self.authority_set()?;
            let subject = subject(request, &member)?;
            let issued = set.active().sign_node(&request.request, &subject, lifetime, now)?;
            let mut txn = Txn { compares, ..Txn::new() };
            if let Some((mut token, seen)) = token {
                token.check_member(member.id)?;
                let path = keyspace::token(&token.id);
                txn = txn.when(unchanged(path.as_str(), seen));
                if !token.joined.contains(&member.id) {
                    token.joined.push(member.id);
                    txn = txn.then(Op::put(path, encode(&token)));
                }
            }
            let record = CertificateRecord::of(&issued.identity, set.active().hash(), now);
            txn = txn
                .when(unchanged(keyspace::AUTHORITIES, authorities_seen))
                .then(Op::put(keyspace::member(member.id), encode(&member)))
                .then(record.put());
            let actor = Actor { name: caller.name.clone(), role: caller.role };
            let event = self.cluster_event("node_joined", "node", &member.name, "admitted", &actor);
            if self.change(txn, event).await?.is_none() {
                continue;
            }
            return Ok(JoinResponse {
                id: member.id,
                name: member.name,
                cluster: self.cluster_id()?.unwrap_or_default(),
                certificate: issued.pem,
                authorities: set.trust().to_pem(),
                data_key: Secret::new(self.inner.data_key.expose_for_join().as_str()),
                members: self.members()?,
            });
        }
        Err(Error::Contended { key: "the list of members".to_owned() })
    }

    /// The token of a caller that has one.
    fn token_of(
        &self,
        caller: &Identity,
        now: Timestamp,
    ) -> Result<Option<(TokenRecord, Revision)>, Error> {
        if caller.role != Role::Join {
            return Ok(None);
        }
        self.valid_token(caller, now).map(Some)
    }

    /// The record of a node that joins: a new one, or the one its key has already.
    fn place(
        &self,
        request: &JoinRequest,
        key_id: &str,
        token: Option<&(TokenRecord, Revision)>,
        now: Timestamp,
    ) -> Result<Place, Error> {
        let found = self.scan(RangeQuery::prefix(keyspace::MEMBERS))?;
        let members: Vec<Member> = found.kvs.iter().map(parse).collect::<Result<_, _>>()?;
        let compares = vec![untouched(keyspace::MEMBERS, found.revision)];
        if let Some(old) = members.iter().find(|member| member.key_id == key_id) {
            if old.epoch > 0 {
                let (id, name) = (old.id, old.name.clone());
                return Err(ClusterError::AlreadyMember { id, name }.into());
            }
            let (peer, api) = (request.peer.clone(), request.api.clone());
            let mut place = Place { member: Member { peer, api, ..old.clone() }, compares };
            place.compares.push(Compare::exists(keyspace::member(old.id)));
            return Ok(place);
        }
        check_reachable(&request.peer, &members)?;
        let mut used: BTreeSet<u64> = members.iter().map(|member| member.id).collect();
        used.insert(self.node_id());
        for prefix in [keyspace::REMOVED, keyspace::NODES] {
            let found = self.scan(RangeQuery::prefix(prefix).keys_only())?;
            used.extend(found.kvs.iter().filter_map(|kv| keyspace::parse_id(prefix, &kv.key)));
        }
        let id = used.last().map_or(1, |last| last + 1);
        let owner = |name: &str| members.iter().find(|member| member.name == name);
        let name = if let Some(name) = &request.name {
            if let Some(Member { id, name, peer, .. }) = owner(name).cloned() {
                return Err(ClusterError::NodeNameTaken { name, id, peer }.into());
            }
            name.clone()
        } else {
            // `node-3` may be a name that somebody chose.
            let mut name = format!("node-{id}");
            while owner(&name).is_some() {
                name.push_str("-x");
            }
            name
        };
        let member = Member {
            id,
            name,
            peer: request.peer.clone(),
            api: request.api.clone(),
            role: token.map_or_else(|| request.role.unwrap_or_default(), |(token, _)| token.role),
            key_id: key_id.to_owned(),
            epoch: 0,
            joined: now,
        };
        let mut place = Place { member, compares };
        place.compares.push(Compare::absent(keyspace::member(id)));
        place.compares.push(Compare::absent(keyspace::removed(id)));
        Ok(place)
    }
}

/// Whom the certificate of a member is for: its name and where it is reached.
pub(crate) fn subject(request: &JoinRequest, member: &Member) -> Result<Subject, Error> {
    let (mut domains, mut ips) = (request.domains.clone(), request.ips.clone());
    for address in [member.peer.as_str(), member.api.trim_start_matches("https://")] {
        let Some(host) = host_of(address) else { continue };
        match host.parse() {
            Ok(ip) => ips.push(ip),
            Err(_) => domains.push(host.to_owned()),
        }
    }
    Ok(Subject::member(&member.name, member.id, &domains, &ips)?)
}

/// The host of `host:port`.
fn host_of(address: &str) -> Option<&str> {
    let host = address.trim_end_matches('/').rsplit_once(':')?.0;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some(host)
}

fn check_request(request: &JoinRequest) -> Result<(), Error> {
    let refused = |name, value: &str, allowed: &str| {
        Err(Error::Parameter { name, value: value.to_owned(), allowed: allowed.to_owned() })
    };
    if let Some(name) = &request.name
        && !is_name(name)
    {
        return refused(
            "name",
            &shortened(name),
            "1 to 63 lower-case letters, digits and `-`, not only digits: that is an id",
        );
    }
    if !is_address(&request.peer) {
        let allowed = "`host:port`, where other nodes reach this one";
        return refused("peer", &shortened(&request.peer), allowed);
    }
    if !request.api.is_empty() && !is_api(&request.api) {
        return refused("api", &shortened(&request.api), "`https://host:port`");
    }
    for (name, count) in [("domains", request.domains.len()), ("ips", request.ips.len())] {
        if count > NAMES {
            return refused(name, &format!("{count} entries"), "at most 64");
        }
    }
    Ok(())
}

/// What somebody sent, no longer than anybody reads.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Whether the text is `host:port`.
fn is_address(text: &str) -> bool {
    let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let is_host = |host: &str| {
        if text.starts_with('[') {
            return host.parse::<Ipv6Addr>().is_ok();
        }
        host.len() <= 253 && host.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    port.is_some_and(|port| port > 0) && host_of(text).is_some_and(is_host)
}

/// Whether the text is `https://host:port`.
pub(crate) fn is_api(text: &str) -> bool {
    text.strip_prefix("https://")
        .is_some_and(|rest| is_address(rest.strip_suffix('/').unwrap_or(rest)))
}

/// Nodes on one machine reach each other over its loopback addresses, all others need real ones.
fn check_reachable(peer: &str, members: &[Member]) -> Result<(), Error> {
    let is_here = |address: &str| {
        host_of(address).is_some_and(|host| {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        })
    };
    let mut members = members.iter().filter(|member| !member.peer.is_empty());
    match members.find(|member| is_here(&member.peer) != is_here(peer)) {
        None => Ok(()),
        Some(other) if is_here(peer) => Err(Error::Parameter {
            name: "peer",
            value: peer.to_owned(),
            allowed: format!(
                "an address that other machines reach (`cluster.address` of the new node), as \
                 `{}` has one",
                other.name
            ),
        }),
        Some(Member { name, peer, .. }) => {
            Err(ClusterError::NodeHidden { name: name.clone(), peer: peer.clone() }.into())
        }
    }
}

/// A label, and no id of a node.
fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.chars().all(|c| c.is_ascii_digit())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
