//! Join tokens: who may become a member without being an administrator. What is stored of a token
//! lets nobody in: its key is in the text that is handed out once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use smr_model::{Health, NodeRole};
use smr_pki::{ExposeSecret as _, Identity};
use smr_state::{Compare, Op, RangeQuery, Revision, Txn};
use smr_wire::{Secret, TokenCreate, TokenCreated, TokenInfo, TokenList, TokenState};

use crate::{
    Actor, ClusterError, Control, Error, TokenProblem,
    certificates::{CertificateRecord, Revocation},
    cluster::{ATTEMPTS, encode, parse, unchanged},
    keyspace,
    members::is_api,
};

/// Most nodes that may join with one token.
const USES: u32 = 1000;
/// Shortest and longest life of a token, seconds.
const TTL: std::ops::RangeInclusive<u64> = 60..=30 * 24 * 3600;

/// What is stored of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenRecord {
    pub(crate) id: String,
    /// Serial number of the certificate in it.
    pub(crate) serial: String,
    pub(crate) role: NodeRole,
    pub(crate) uses: u32,
    /// Ids of the nodes that joined with it.
    #[serde(default)]
    pub(crate) joined: Vec<u64>,
    pub(crate) created_by: String,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
}

impl TokenRecord {
    /// Refuses a node that is one too many; one that joined with the token may ask again.
    pub(crate) fn check_member(&self, id: u64) -> Result<(), Error> {
        if self.joined.contains(&id) || self.joined.len() < self.uses as usize {
            return Ok(());
        }
        self.refused(TokenProblem::UsedUp { uses: self.uses })
    }

    fn refused<T>(&self, problem: TokenProblem) -> Result<T, Error> {
        Err(ClusterError::TokenRefused { id: self.id.clone(), problem }.into())
    }

    fn info(self, now: Timestamp) -> TokenInfo {
        let state = if now > self.expires {
            TokenState::Expired
        } else if self.joined.len() >= self.uses as usize {
            TokenState::UsedUp
        } else {
            TokenState::Valid
        };
        TokenInfo {
            id: self.id,
            state,
            role: self.role,
            uses: self.uses,
            joined: self.joined,
            created_by: self.created_by,
            created: self.created,
            expires: self.expires,
            description: self.description,
        }
    }
}

impl Control {
    /// Makes a join token. The answer is the only place its text ever is.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`ClusterError::NoAuthorities`]; [`ClusterError::JoinToken`] for addresses.
    pub async fn create_token(
        &self,
        wanted: &TokenCreate,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<TokenCreated, Error> {
        check(wanted)?;
        self.settled().await?;
        let apis = if wanted.endpoints.is_empty() {
            self.api_endpoints()?
        } else {
            wanted.endpoints.clone()
        };
        let (set, _) = self.authority_set()?;
        let lifetime = Duration::from_secs(wanted.ttl_seconds);
        let token = set.join_token(&apis, lifetime, now)?;
        let identity = token.credentials().identity();
        let record = TokenRecord {
            id: token.id().to_owned(),
            serial: identity.serial.clone(),
            role: wanted.role,
            uses: wanted.uses,
            joined: Vec::new(),
            created_by: actor.name.clone(),
            created: now,
            expires: identity.not_after,
            description: wanted.description.clone(),
        };
        let path = keyspace::token(&record.id);
        let txn = Txn::new()
            .when(Compare::absent(path.as_str()))
            .then(Op::put(path, encode(&record)))
            .then(CertificateRecord::of(identity, set.active().hash(), now).put());
        let event = self.cluster_event("token_created", "token", &record.id, "created", actor);
        if self.change(txn, event).await?.is_none() {
            return Err(Error::Contended { key: format!("token {}", record.id) });
        }
        let text = Secret::new(token.encode().expose_secret());
        Ok(TokenCreated { info: record.info(now), token: text })
    }

    /// Every join token, oldest first.
    pub async fn tokens(&self, now: Timestamp) -> Result<TokenList, Error> {
        self.barrier().await?;
        let found = self.scan(RangeQuery::prefix(keyspace::TOKENS))?;
        let records: Vec<TokenRecord> = found.kvs.iter().map(parse).collect::<Result<_, _>>()?;
        let mut items: Vec<TokenInfo> =
            records.into_iter().map(|record| record.info(now)).collect();
        items.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id)));
        Ok(TokenList { items })
    }

    /// Deletes a join token and revokes the certificate in it. Nodes that joined with it stay.
    ///
    /// # Errors
    /// [`ClusterError::NoToken`].
    pub async fn delete_token(
        &self,
        id: &str,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<TokenInfo, Error> {
        let path = keyspace::token(id);
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let found = self.record::<TokenRecord>(&path)?;
            let (record, seen) =
                found.ok_or_else(|| ClusterError::NoToken { id: id.to_owned() })?;
            let revocation = Revocation {
                at: now,
                by: actor.name.clone(),
                reason: format!("join token `{id}` was deleted"),
                not_after: Some(record.expires),
                node: None,
            };
            let txn = Txn::new()
                .when(unchanged(path.as_str(), seen))
                .then(Op::delete(path.as_str()))
                .then(Op::put(keyspace::revoked(&record.serial), encode(&revocation)));
            let event = self.cluster_event("token_deleted", "token", id, "deleted", actor);
            if self.change(txn, event).await?.is_some() {
                return Ok(record.info(now));
            }
        }
        Err(Error::Contended { key: format!("token {id}") })
    }

    /// The token of whoever presents the certificate in it, if it is valid at `now`; whether it has
    /// uses left is another question, see [`TokenRecord::check_member`].
    pub(crate) fn valid_token(
        &self,
        caller: &Identity,
        now: Timestamp,
    ) -> Result<(TokenRecord, Revision), Error> {
        let id = caller.token_id().unwrap_or_default().to_owned();
        let (record, seen) = self
            .record::<TokenRecord>(&keyspace::token(&id))?
            .filter(|(record, _)| record.serial == caller.serial)
            .ok_or(ClusterError::TokenRefused { id, problem: TokenProblem::Unknown })?;
        if now > record.expires {
            return record.refused(TokenProblem::Expired { at: record.expires });
        }
        if self.inner.store.get(&keyspace::revoked(&record.serial))?.is_some() {
            return record.refused(TokenProblem::Revoked);
        }
        Ok((record, seen))
    }

    /// Where the control API of members that are not down is reached.
    fn api_endpoints(&self) -> Result<Vec<String>, Error> {
        const MOST: usize = 8;
        let health = self.records_by_id::<smr_model::NodeHealth>(keyspace::HEALTH)?;
        let is_up = |id: u64| health.get(&id).is_none_or(|health| health.state == Health::Ready);
        let members = self.members()?.into_iter();
        let mut apis: Vec<String> = members
            .filter(|member| is_up(member.id) && is_api(&member.api))
            .map(|member| member.api)
            .collect();
        apis.truncate(MOST);
        if apis.is_empty() { Err(ClusterError::NoEndpoints.into()) } else { Ok(apis) }
    }
}

/// The writes that forget tokens that ended before `before`.
pub(crate) fn forget(record: &TokenRecord, before: Timestamp) -> Option<Op> {
    (record.expires < before).then(|| Op::delete(keyspace::token(&record.id)))
}

/// How long what has ended is still shown.
pub(crate) const SHOWN: SignedDuration = SignedDuration::from_hours(24);

fn check(wanted: &TokenCreate) -> Result<(), Error> {
    let refused =
        |name, value: String, allowed: String| Err(Error::Parameter { name, value, allowed });
    if !(1..=USES).contains(&wanted.uses) {
        return refused("uses", wanted.uses.to_string(), format!("1 to {USES}"));
    }
    if !TTL.contains(&wanted.ttl_seconds) {
        let allowed =
            format!("{} to {} seconds ({} days)", TTL.start(), TTL.end(), TTL.end() / 86_400);
        return refused("ttlSeconds", wanted.ttl_seconds.to_string(), allowed);
    }
    if wanted.description.len() > 200 {
        let shown: String = wanted.description.chars().take(20).collect();
        return refused("description", format!("{shown} ..."), "at most 200 bytes".to_owned());
    }
    Ok(())
}
