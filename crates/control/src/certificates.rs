//! Certificates: which were issued, which are refused before their end.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smr_model::Member;
use smr_pki::{Credentials, ExposeSecret as _, Identity, Role, Subject, request_key_id};
use smr_state::{Op, RangeQuery, Txn};
use smr_wire::{
    CertificateAnswer, CertificateInfo, CertificateList, CertificateRequest, JoinRequest,
    RevokeRequest, RevokeResponse, Secret, UserCreate, UserCreated,
};

use crate::{
    Actor, ClusterError, Control, Error,
    cluster::{ATTEMPTS, encode, parse, unchanged, untouched},
    keyspace,
    members::subject,
    tokens::{self, SHOWN, TokenRecord},
};

/// Operations of one transaction that forgets what has ended.
const OPS: usize = 500;

/// What is stored of an issued certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateRecord {
    pub(crate) serial: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<u64>,
    /// SHA-256 of the certificate of the authority that signed it, hex.
    #[serde(default)]
    pub(crate) authority: String,
    pub(crate) issued: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// What is stored of a revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Revocation {
    pub(crate) at: Timestamp,
    pub(crate) by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    /// End of the certificate; unknown for one that nobody recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_after: Option<Timestamp>,
    /// Whose it is, if it is of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<u64>,
}

impl CertificateRecord {
    pub(crate) fn of(identity: &Identity, authority: String, now: Timestamp) -> Self {
        Self {
            serial: identity.serial.clone(),
            name: identity.name.clone(),
            role: identity.role,
            node: identity.node_id,
            authority,
            issued: now,
            not_after: identity.not_after,
        }
    }

    pub(crate) fn put(&self) -> Op {
        Op::put(keyspace::certificate(&self.serial), encode(self))
    }

    /// The write that revokes it.
    pub(crate) fn revoke(&self, by: &str, reason: &str, now: Timestamp) -> Op {
        let revocation = Revocation {
            at: now,
            by: by.to_owned(),
            reason: reason.to_owned(),
            not_after: Some(self.not_after),
            node: self.node,
        };
        Op::put(keyspace::revoked(&self.serial), encode(&revocation))
    }

    fn info(self, revocation: Option<Revocation>, now: Timestamp) -> CertificateInfo {
        const DAY: i64 = 24 * 3600;
        let (revoked, reason) = match revocation {
            Some(Revocation { at, by, reason, .. }) if reason.is_empty() => {
                (Some(at), format!("by {by}"))
            }
            Some(Revocation { at, by, reason, .. }) => (Some(at), format!("{reason} (by {by})")),
            None => (None, String::new()),
        };
        CertificateInfo {
            days_left: (self.not_after.as_second() - now.as_second()).div_euclid(DAY),
            serial: self.serial,
            name: self.name,
            role: self.role.to_string(),
            node: self.node,
            issued: self.issued,
            not_after: self.not_after,
            revoked,
            reason,
        }
    }
}

impl Control {
    /// Records a certificate that was just issued by the authority that signs, but not by this
    /// module.
    pub async fn record_certificate(
        &self,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), Error> {
        let authority = match self.authority_set() {
            Ok((set, _)) => set.active().hash(),
            Err(Error::Cluster(ClusterError::NoAuthorities)) => String::new(),
            Err(error) => return Err(error),
        };
        let record = CertificateRecord::of(identity, authority, now);
        self.inner.store.txn(Txn::new().then(record.put())).await?;
        Ok(())
    }

    /// Makes a key and a certificate for a user and records the certificate.
    ///
    /// # Errors
    /// [`ClusterError::Pki`] for a name or role that users cannot have; [`ClusterError::NoAuthorities`].
    pub async fn issue_user(
        &self,
        name: &str,
        role: Role,
        lifetime: Duration,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Credentials, Error> {
        if role == Role::Join {
            let allowed = "`admin`, `operator` or `viewer`".to_owned();
            return Err(Error::Parameter { name: "role", value: role.to_string(), allowed });
        }
        let subject = Subject::user(name, role)?;
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let (set, seen) = self.authority_set()?;
            let credentials = set.issue(&subject, lifetime, now)?;
            let record = CertificateRecord::of(credentials.identity(), set.active().hash(), now);
            let txn = Txn::new().when(unchanged(keyspace::AUTHORITIES, seen)).then(record.put());
            let event = self.cluster_event("certificate_issued", "user", name, "issued", actor);
            if self.change(txn, event).await?.is_some() {
                return Ok(credentials);
            }
        }
        Err(Error::Contended { key: "the authorities".to_owned() })
    }

    /// Like [`Control::issue_user`], as the control API answers it; `lifetime` counts unless the
    /// request has one.
    ///
    /// # Errors
    /// Those of [`Control::issue_user`]; [`Error::Parameter`] for a lifetime below a minute.
    pub async fn create_user(
        &self,
        request: &UserCreate,
        lifetime: Duration,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<UserCreated, Error> {
        const LEAST: u64 = 60;
        if let Some(seconds) = request.ttl_seconds.filter(|seconds| *seconds < LEAST) {
            let allowed = format!("{LEAST} seconds or more");
            return Err(Error::Parameter {
                name: "ttlSeconds",
                value: seconds.to_string(),
                allowed,
            });
        }
        let lifetime = request.ttl_seconds.map_or(lifetime, Duration::from_secs);
        let role = request.role.parse()?;
        let made = self.issue_user(&request.name, role, lifetime, actor, now).await?;
        let record = CertificateRecord::of(made.identity(), String::new(), now);
        let bundle = Secret::new(made.bundle().expose_secret());
        Ok(UserCreated { certificate: record.info(None, now), bundle })
    }

    /// Signs the key of a member anew. `caller` is that member, by the certificate it has, expired
    /// or not: it has shown that it holds the key, which is the one that is signed. One that had ended
    /// when a certificate of the node was revoked is as good as revoked.
    ///
    /// # Errors
    /// [`ClusterError::NotAMember`] for whoever is none (any more), and for another key;
    /// [`ClusterError::Pki`], [`ClusterError::NoAuthorities`].
    pub async fn renew(
        &self,
        request: &CertificateRequest,
        caller: &Identity,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<CertificateAnswer, Error> {
        let refused = || ClusterError::NotAMember { name: caller.name.clone() };
        let id = caller.node_id.ok_or_else(refused)?;
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let path = keyspace::member(id);
            let (member, seen) = self.record::<Member>(&path)?.ok_or_else(refused)?;
            let is_other = !member.key_id.is_empty() && member.key_id != caller.key_id;
            if is_other
                || request_key_id(&request.request)? != caller.key_id
                || self.is_shut_out(id, caller)?
            {
                return Err(refused().into());
            }
            let (set, authorities_seen) = self.authority_set()?;
            let addresses = JoinRequest {
                domains: request.domains.clone(),
                ips: request.ips.clone(),
                ..JoinRequest::default()
            };
            let subject = subject(&addresses, &member)?;
            let issued = set.active().sign_node(&request.request, &subject, lifetime, now)?;
            let record = CertificateRecord::of(&issued.identity, set.active().hash(), now);
            let mut txn = Txn::new()
                .when(unchanged(path.as_str(), seen))
                .when(unchanged(keyspace::AUTHORITIES, authorities_seen))
                .then(record.put());
            if member.key_id.is_empty() {
                let member = Member { key_id: issued.identity.key_id.clone(), ..member.clone() };
                txn = txn.then(Op::put(path, encode(&member)));
            }
            let actor = Actor { name: caller.name.clone(), role: caller.role };
            let event =
                self.cluster_event("certificate_issued", "node", &member.name, "asked for", &actor);
            if self.change(txn, event).await?.is_some() {
                let authorities = set.trust().to_pem();
                return Ok(CertificateAnswer { certificate: issued.pem, authorities });
            }
        }
        Err(Error::Contended { key: format!("node {id}") })
    }

    /// Whether the certificate of a node is revoked, or ended before another one of it was: nobody
    /// puts what has ended on the list, and its key may be as stolen as that of the other.
    fn is_shut_out(&self, id: u64, caller: &Identity) -> Result<bool, Error> {
        if self.inner.store.get(&keyspace::revoked(&caller.serial))?.is_some() {
            return Ok(true);
        }
        for kv in &self.scan(RangeQuery::prefix(keyspace::REVOKED))?.kvs {
            let revocation: Revocation = parse(kv)?;
            if revocation.node == Some(id) && revocation.at >= caller.not_after {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every recorded certificate, by name and end.
    pub async fn certificates(&self, now: Timestamp) -> Result<CertificateList, Error> {
        self.barrier().await?;
        let mut items = Vec::new();
        for record in self.certificate_records()? {
            let revocation = self.record::<Revocation>(&keyspace::revoked(&record.serial))?;
            items.push(record.info(revocation.map(|(revocation, _)| revocation), now));
        }
        items.sort_by(|a, b| {
            smr_model::natural_cmp(&a.name, &b.name)
                .then_with(|| a.not_after.cmp(&b.not_after))
                .then_with(|| a.serial.cmp(&b.serial))
        });
        Ok(CertificateList { items })
    }

    /// Revokes a certificate by its serial number, or every certificate that has not ended of a
    /// node or user, by its name. A serial number that is not recorded is revoked as well.
    ///
    /// # Errors
    /// [`ClusterError::NoCertificate`] for what is neither a serial number nor a name of anybody.
    pub async fn revoke(
        &self,
        serial_or_name: &str,
        request: &RevokeRequest,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<RevokeResponse, Error> {
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let seen = self.revision();
            let mut records = self.certificate_records()?;
            let wanted = serial_or_name.to_ascii_lowercase();
            if records.iter().any(|record| record.serial == wanted) {
                records.retain(|record| record.serial == wanted);
            } else {
                records.retain(|record| record.name == serial_or_name && record.not_after >= now);
            }
            if records.is_empty() {
                if !is_serial(&wanted) {
                    let wanted = serial_or_name.to_owned();
                    return Err(ClusterError::NoCertificate { wanted }.into());
                }
                // Issued before certificates were recorded, or recorded and forgotten since.
                records.push(CertificateRecord {
                    serial: wanted,
                    name: String::new(),
                    role: Role::Viewer,
                    node: None,
                    authority: String::new(),
                    issued: now,
                    not_after: Timestamp::MAX,
                });
            }
            let mut txn = Txn::new().when(untouched(keyspace::CERTIFICATES, seen));
            let mut revoked = Vec::new();
            for record in records {
                if self.inner.store.get(&keyspace::revoked(&record.serial))?.is_some() {
                    continue;
                }
                txn = txn.then(record.revoke(&actor.name, &request.reason, now));
                let revocation = Revocation {
                    at: now,
                    by: actor.name.clone(),
                    reason: request.reason.clone(),
                    not_after: None,
                    node: record.node,
                };
                revoked.push(record.info(Some(revocation), now));
            }
            if revoked.is_empty() {
                return Ok(RevokeResponse::default());
            }
            let event = self.cluster_event(
                "certificate_revoked",
                "certificate",
                serial_or_name,
                "revoked",
                actor,
            );
            if self.change(txn, event).await?.is_some() {
                return Ok(RevokeResponse { revoked });
            }
        }
        Err(Error::Contended { key: "the list of certificates".to_owned() })
    }

    /// Serial numbers of revoked certificates, from the local copy; for the TLS side. To be read
    /// again whenever a key under [`keyspace::REVOKED`] changes.
    pub fn revoked_serials(&self) -> Result<BTreeSet<String>, Error> {
        let found = self.scan(RangeQuery::prefix(keyspace::REVOKED).keys_only())?;
        let serial = |key: &str| key.strip_prefix(keyspace::REVOKED).map(str::to_owned);
        Ok(found.kvs.iter().filter_map(|kv| serial(&kv.key)).collect())
    }

    /// Forgets certificates, revocations and join tokens that ended more than a day before `now`; not
    /// the revocations of members, who could ask for a new certificate with one that has ended.
    /// For the leader, now and then; answers how many records went.
    pub async fn forget_ended(&self, now: Timestamp) -> Result<usize, Error> {
        let before = now.checked_sub(SHOWN).unwrap_or(Timestamp::MIN);
        let members = self.records_by_id::<Member>(keyspace::MEMBERS)?;
        let mut ops = Vec::new();
        for record in self.certificate_records()? {
            if record.not_after < before {
                ops.push(Op::delete(keyspace::certificate(&record.serial)));
            }
        }
        for kv in &self.scan(RangeQuery::prefix(keyspace::REVOKED))?.kvs {
            let revocation: Revocation = parse(kv)?;
            let is_member = revocation.node.is_some_and(|id| members.contains_key(&id));
            if !is_member && revocation.not_after.is_some_and(|end| end < before) {
                ops.push(Op::delete(kv.key.as_str()));
            }
        }
        for kv in &self.scan(RangeQuery::prefix(keyspace::TOKENS))?.kvs {
            ops.extend(tokens::forget(&parse::<TokenRecord>(kv)?, before));
        }
        for chunk in ops.chunks(OPS) {
            let txn = Txn { then: chunk.to_vec(), ..Txn::new() };
            self.inner.store.txn(txn).await?;
        }
        Ok(ops.len())
    }

    pub(crate) fn certificate_records(&self) -> Result<Vec<CertificateRecord>, Error> {
        let found = self.scan(RangeQuery::prefix(keyspace::CERTIFICATES))?;
        found.kvs.iter().map(parse).collect()
    }
}

/// Whether the text, in lower case, is a serial number as authorities here make them.
fn is_serial(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
