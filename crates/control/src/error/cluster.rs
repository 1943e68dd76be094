//! Why a request about members, tokens, certificates or settings could not be met.

use jiff::Timestamp;
use smr_pki::{AuthoritiesError, JoinTokenError, PkiError, Role, RotationError};
use smr_wire::Code;

/// A request about the cluster itself that could not be met. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No such node.
    #[error("node `{node}` does not exist")]
    NoNode {
        /// Id or name, as given.
        node: String,
        /// Names of the nodes there are.
        known: Vec<String>,
    },
    /// Another member has the name.
    #[error("the name `{name}` belongs to node `{id}` of the cluster, reached at `{peer}`")]
    NodeNameTaken {
        /// The name.
        name: String,
        /// Id of the member that has it.
        id: u64,
        /// Where that one is reached.
        peer: String,
    },
    /// The key is that of a member that has been started since it joined.
    #[error("this machine's key is that of node `{id}` (`{name}`), which has joined and started")]
    AlreadyMember {
        /// Id of the member.
        id: u64,
        /// Its name.
        name: String,
    },
    /// A member that other machines cannot reach.
    #[error("node `{name}` is reached at `{peer}` only, which is no address for other machines")]
    NodeHidden {
        /// Its name.
        name: String,
        /// Where it says that it is reached.
        peer: String,
    },
    /// The role allows no joining.
    #[error("`{name}` has the role `{role}`, which cannot admit a node")]
    MayNotJoin {
        /// Name in the certificate.
        name: String,
        /// Role in the certificate.
        role: Role,
    },
    /// A join token that lets nobody in.
    #[error("join token `{id}` {problem}")]
    TokenRefused {
        /// Id of the token.
        id: String,
        /// Why not.
        problem: TokenProblem,
    },
    /// No such token.
    #[error("join token `{id}` does not exist")]
    NoToken {
        /// As given.
        id: String,
    },
    /// Nobody has said where the control API is reached.
    #[error("no member says where other machines reach its control API")]
    NoEndpoints,
    /// A token cannot be made so.
    #[error(transparent)]
    JoinToken(#[from] JoinTokenError),
    /// A certificate for somebody who is no member.
    #[error("`{name}` is no member of the cluster, or its certificate is not good any more")]
    NotAMember {
        /// Name in the certificate.
        name: String,
    },
    /// Neither a serial number nor a name.
    #[error("no certificate has the serial number or name `{wanted}`")]
    NoCertificate {
        /// As given.
        wanted: String,
    },
    /// The authorities are not in the keyspace yet.
    #[error("the cluster has no certificate authority yet")]
    NoAuthorities,
    /// The authorities in the keyspace cannot be used.
    #[error("the cluster's certificate authorities cannot be opened")]
    Authorities {
        /// Why.
        source: Box<AuthoritiesError>,
    },
    /// A step of replacing the authority out of turn.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// Nodes that do not trust the new authority yet.
    #[error("{} not trust the new authority yet", list(nodes, "does", "do"))]
    NotReloaded {
        /// Their names.
        nodes: Vec<String>,
    },
    /// Certificates that would stop working.
    #[error("{}", old_certificates(nodes, users))]
    OldCertificates {
        /// Names of nodes that present a certificate of the old authority.
        nodes: Vec<String>,
        /// Names of users that have one.
        users: Vec<String>,
    },
    /// A key, name or address that cannot be in a certificate, or the signing failed.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A node that is ready.
    #[error("node `{name}` is ready: removing it takes it from the cluster while it works")]
    NodeReady {
        /// Its name.
        name: String,
    },
    /// The cluster cannot be without a voter.
    #[error("node `{name}` is the last one with a vote: without it there is no cluster")]
    LastVoter {
        /// Its name.
        name: String,
    },
    /// What is left could not agree on anything any more.
    #[error(
        "node `{name}` has a vote that is needed: without it {left} of {voters} voters answer, too few \
         to agree on anything"
    )]
    VoterNeeded {
        /// Its name.
        name: String,
        /// Voters besides it that answer.
        left: usize,
        /// Voters there are.
        voters: usize,
    },
}

/// Why a join token lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenProblem {
    /// The cluster does not know it.
    #[error("is not known to this cluster: it is of another cluster, or was deleted")]
    Unknown,
    /// Its time is over.
    #[error("expired at {at}")]
    Expired {
        /// Its end.
        at: Timestamp,
    },
    /// As many nodes joined as may.
    #[error("was used {uses} times, which is as often as it may")]
    UsedUp {
        /// How often it may be used.
        uses: u32,
    },
    /// Its certificate was revoked.
    #[error("was revoked")]
    Revoked,
}

impl ClusterError {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::NoNode { .. } | Self::NoToken { .. } | Self::NoCertificate { .. } => {
                Code::NotFound
            }
            Self::NodeNameTaken { .. }
            | Self::AlreadyMember { .. }
            | Self::NodeHidden { .. }
            | Self::Rotation(_)
            | Self::NotReloaded { .. }
            | Self::OldCertificates { .. }
            | Self::NodeReady { .. }
            | Self::LastVoter { .. }
            | Self::VoterNeeded { .. } => Code::Conflict,
            Self::MayNotJoin { .. } | Self::TokenRefused { .. } | Self::NotAMember { .. } => {
                Code::Forbidden
            }
            Self::JoinToken(JoinTokenError::Addresses { .. } | JoinTokenError::BadUrl { .. })
            | Self::NoEndpoints => Code::BadRequest,
            Self::Pki(
                PkiError::BadRequest { .. }
                | PkiError::BadName { .. }
                | PkiError::BadDomain { .. }
                | PkiError::UnknownRole { .. }
                | PkiError::NodeRoleForUser { .. },
            ) => Code::BadRequest,
            Self::NoAuthorities => Code::Unavailable,
            Self::JoinToken(_) | Self::Authorities { .. } | Self::Pki(_) => Code::Internal,
        }
    }

    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::NoAuthorities)
    }

    pub(super) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoNode { known, .. } if known.is_empty() => {
                "`smrctl node ls` shows the nodes".into()
            }
            Self::NoNode { known, .. } => format!("there are {}", known.join(", ")),
            Self::NodeNameTaken { name, .. } => format!(
                "give another `node.name`, or none to be named by the cluster; if that node is \
                 gone for good, `smrctl node rm {name}` frees its name"
            ),
            Self::AlreadyMember { name, .. } => format!(
                "start it with the data directory it had; if that is lost, `smrctl node rm {name}`, \
                 empty the directory and join as a new node"
            ),
            Self::NodeHidden { name, .. } => format!(
                "set `cluster.listen`, and `cluster.address` or `node.domains` or `node.ips`, in \
                 the configuration of `{name}` and restart it"
            ),
            Self::MayNotJoin { .. } => {
                "join with a join token (`smrctl token create`) or an administrator's context"
                    .into()
            }
            Self::TokenRefused { problem: TokenProblem::Unknown, .. } => {
                "check that the address is that of the cluster the token is of; `smrctl token \
                 create` makes a new one there"
                    .into()
            }
            Self::TokenRefused { .. } => "`smrctl token create` makes a new one".into(),
            Self::NoToken { .. } => "`smrctl token ls` shows the tokens there are".into(),
            Self::NoEndpoints => {
                "give the address with the token (`--endpoint https://HOST:1443`), or let \
                 `api.listen` and `node.domains` of the members be reachable from other machines"
                    .into()
            }
            Self::NotAMember { .. } => {
                "`smrctl node ls` shows the members; empty the data directory and join again".into()
            }
            Self::NoCertificate { .. } => {
                "`smrctl cert ls` shows the certificates that were issued".into()
            }
            Self::NoAuthorities => {
                "the first node puts it there when it starts; try again in a moment".into()
            }
            Self::Authorities { .. } => {
                "restore the data key of the cluster (`data.key`) on this node".into()
            }
            Self::Rotation(_) => "`smrctl cert rotate-ca status` shows how far it is".into(),
            Self::NotReloaded { .. } => {
                "wait until they do; nodes that are down for good are removed with `smrctl node \
                 rm`, or left behind with `--force`"
                    .into()
            }
            Self::OldCertificates { .. } => {
                "nodes renew theirs by themselves; give users new contexts, or cut them off with \
                 `--force`"
                    .into()
            }
            Self::NodeReady { name } => {
                format!("`smrctl node drain {name}` and stop it first, or use `--force`")
            }
            Self::LastVoter { .. } => {
                "let another node join as a voter, or promote one, first".into()
            }
            Self::VoterNeeded { .. } => {
                "bring a node that is down back first, or remove that one and wait until the voters \
                 are others (`smrctl cluster status`)"
                    .into()
            }
            Self::Pki(_) | Self::JoinToken(_) => return None,
        })
    }
}

fn list(names: &[String], one: &str, more: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [only] => format!("node {only} {one}"),
        all => format!("nodes {} {more}", all.join(", ")),
    }
}

fn old_certificates(nodes: &[String], users: &[String]) -> String {
    let mut parts = Vec::new();
    if !nodes.is_empty() {
        parts.push(list(nodes, "still presents", "still present") + " a certificate");
    }
    if !users.is_empty() {
        let users: Vec<String> = users.iter().map(|user| format!("`{user}`")).collect();
        parts.push(format!("users {} still have certificates", users.join(", ")));
    }
    format!("{} of the old authority", parts.join("; "))
}
