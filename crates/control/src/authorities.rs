//! The cluster's authorities: kept with sealed keys, and replaced in steps, none of which leaves a
//! node behind.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smr_model::{Health, NodeHealth};
use smr_pki::{Authority, AuthoritySet, Role, RotationPhase, SealedAuthorities, TrustBundle};
use smr_state::{Compare, Op, Revision, Txn};
use smr_wire::{
    AuthoritiesInfo, AuthorityInfo, RotateAction, RotateRequest, RotationState, TrustInfo,
};

use crate::{
    Actor, ClusterError, Control, Error,
    certificates::CertificateRecord,
    cluster::{ATTEMPTS, encode, unchanged},
    keyspace,
};

/// What a node says it trusts, kept under [`keyspace::TRUST`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct TrustReport {
    /// SHA-256 of the certificates of the authorities it trusts, hex, sorted.
    trusts: BTreeSet<String>,
    /// Serial number of the certificate it presents.
    serial: String,
}

impl Control {
    /// Stores the authorities of a new cluster, their keys sealed; `false` if the cluster has some
    /// already, which stay.
    pub async fn found_authorities(&self, set: &AuthoritySet) -> Result<bool, Error> {
        self.settled().await?;
        let sealed = self.sealed(set)?;
        let txn = Txn::new()
            .when(Compare::absent(keyspace::AUTHORITIES))
            .then(Op::put(keyspace::AUTHORITIES, sealed));
        Ok(self.inner.store.txn(txn).await?.succeeded)
    }

    /// The authorities with their keys, from the local copy.
    ///
    /// # Errors
    /// [`ClusterError::NoAuthorities`] before there are any.
    pub fn authorities(&self) -> Result<AuthoritySet, Error> {
        Ok(self.authority_set()?.0)
    }

    /// The authorities to trust, from the local copy; `None` before there are any. To be read
    /// again whenever [`keyspace::AUTHORITIES`] changes.
    pub fn trusted_authorities(&self) -> Result<Option<TrustBundle>, Error> {
        let found = self.record::<SealedAuthorities>(keyspace::AUTHORITIES)?;
        found.map(|(sealed, _)| Ok(sealed.trust()?)).transpose()
    }

    /// Says to the cluster which authorities this node trusts, and which certificate it presents,
    /// by serial number; to be called after each reload of either. Writes nothing when that is
    /// known.
    pub async fn report_trust(&self, trust: &TrustBundle, serial: &str) -> Result<(), Error> {
        let report =
            TrustReport { trusts: trust.hashes().into_iter().collect(), serial: serial.to_owned() };
        let key = keyspace::trust(self.node_id());
        if self.record::<TrustReport>(&key)?.is_some_and(|(stored, _)| stored == report) {
            return Ok(());
        }
        self.inner.store.txn(Txn::new().then(Op::put(key, encode(&report)))).await?;
        Ok(())
    }

    /// The authorities, how far their replacement is, and who trusts them.
    pub async fn authorities_info(&self, now: Timestamp) -> Result<AuthoritiesInfo, Error> {
        self.barrier().await?;
        let (set, _) = self.authority_set()?;
        self.info(&set, now)
    }

    /// Takes a step of replacing the authority. A new one lives for `lifetime`. The second step
    /// waits for every member to trust both, the third for every certificate that shall go on
    /// working to be of the new one.
    ///
    /// # Errors
    /// [`ClusterError::Rotation`] for a step out of turn; [`ClusterError::NotReloaded`],
    /// [`ClusterError::OldCertificates`] for one that is too early, unless it is forced.
    pub async fn rotate(
        &self,
        request: RotateRequest,
        lifetime: Duration,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<AuthoritiesInfo, Error> {
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let (set, seen) = self.authority_set()?;
            let info = self.info(&set, now)?;
            let (next, kind, verb) = match request.action {
                RotateAction::Begin => {
                    let next = set.begin(Authority::create(lifetime, now)?)?;
                    (next, "authorities_begun", "begun")
                }
                RotateAction::Switch => {
                    let next = set.switch()?;
                    check_reloaded(&info, request.force)?;
                    (next, "authorities_switched", "switched")
                }
                RotateAction::Finish => {
                    let next = set.finish()?;
                    check_renewed(&info, request.force)?;
                    (next, "authorities_finished", "finished")
                }
                RotateAction::Cancel => (set.cancel()?, "authorities_cancelled", "cancelled"),
            };
            let txn = Txn::new()
                .when(unchanged(keyspace::AUTHORITIES, seen))
                .then(Op::put(keyspace::AUTHORITIES, self.sealed(&next)?));
            let event = self.cluster_event(kind, "authorities", "cluster", verb, actor);
            if self.change(txn, event).await?.is_some() {
                return self.info(&next, now);
            }
        }
        Err(Error::Contended { key: "the authorities".to_owned() })
    }

    pub(crate) fn authority_set(&self) -> Result<(AuthoritySet, Revision), Error> {
        let found = self.record::<SealedAuthorities>(keyspace::AUTHORITIES)?;
        let (sealed, seen) = found.ok_or(ClusterError::NoAuthorities)?;
        let set = sealed
            .open(&self.inner.data_key)
            .map_err(|source| ClusterError::Authorities { source: Box::new(source) })?;
        Ok((set, seen))
    }

    fn sealed(&self, set: &AuthoritySet) -> Result<Vec<u8>, Error> {
        let sealed = set
            .seal(&self.inner.data_key)
            .map_err(|source| Error::Sealed { key: keyspace::AUTHORITIES.to_owned(), source })?;
        Ok(encode(&sealed))
    }

    fn info(&self, set: &AuthoritySet, now: Timestamp) -> Result<AuthoritiesInfo, Error> {
        let trust = set.trust();
        let hashes = trust.hashes();
        let current: BTreeSet<String> = hashes.iter().cloned().collect();
        let signing = set.active().hash();
        let reports = self.records_by_id::<TrustReport>(keyspace::TRUST)?;
        let health = self.records_by_id::<NodeHealth>(keyspace::HEALTH)?;
        let records = self.certificate_records()?;
        let nodes = self.members()?.into_iter().map(|member| {
            let report = reports.get(&member.id);
            let presents = |report: &TrustReport| {
                records.iter().any(|r| r.serial == report.serial && r.authority == signing)
            };
            TrustInfo {
                node: member.id,
                ready: health.get(&member.id).is_none_or(|h| h.state == Health::Ready),
                current: report.is_some_and(|report| report.trusts == current),
                renewed: report.is_some_and(presents),
                name: member.name,
            }
        });
        let revoked = self.revoked_serials()?;
        let is_old_user = |record: &&CertificateRecord| {
            matches!(record.role, Role::Admin | Role::Operator | Role::Viewer)
                && record.authority != signing
                && record.not_after >= now
                && !revoked.contains(&record.serial)
        };
        let users: BTreeSet<String> =
            records.iter().filter(is_old_user).map(|record| record.name.clone()).collect();
        let end = |hash: &str| {
            let known = [Some(set.active()), set.next()].into_iter().flatten();
            known.into_iter().find(|a| a.hash() == hash).map(|a| a.validity().not_after)
        };
        let authorities = hashes.into_iter().map(|fingerprint| AuthorityInfo {
            signs: fingerprint == signing,
            not_after: end(&fingerprint),
            fingerprint,
        });
        Ok(AuthoritiesInfo {
            state: match set.phase() {
                RotationPhase::Stable => RotationState::Stable,
                RotationPhase::Begun => RotationState::Begun,
                RotationPhase::Switched => RotationState::Switched,
            },
            authorities: authorities.collect(),
            nodes: nodes.collect(),
            old_users: users.into_iter().collect(),
        })
    }
}

/// Every member must trust what is about to sign; those that are down may be left behind by force.
fn check_reloaded(info: &AuthoritiesInfo, force: bool) -> Result<(), Error> {
    let nodes = names(info, |node| !node.current && (node.ready || !force));
    if nodes.is_empty() { Ok(()) } else { Err(ClusterError::NotReloaded { nodes }.into()) }
}

/// Every certificate in use must be of the authority that stays.
fn check_renewed(info: &AuthoritiesInfo, force: bool) -> Result<(), Error> {
    let nodes = names(info, |node| !node.renewed && (node.ready || !force));
    let users = if force { Vec::new() } else { info.old_users.clone() };
    if nodes.is_empty() && users.is_empty() {
        return Ok(());
    }
    Err(ClusterError::OldCertificates { nodes, users }.into())
}

fn names(info: &AuthoritiesInfo, wanted: impl Fn(&&TrustInfo) -> bool) -> Vec<String> {
    info.nodes.iter().filter(wanted).map(|node| node.name.clone()).collect()
}
