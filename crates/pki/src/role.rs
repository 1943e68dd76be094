//! What the holder of a certificate may do.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::PkiError;

/// The role in a certificate's subject (`OU`). Users have exactly one of `Viewer`, `Operator` and
/// `Admin`; `Node` is for the members of the cluster among themselves, `Join` for becoming one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The credential in a join token: asks to become a member of the cluster, and nothing else.
    Join,
    /// Reads objects, status, logs and events; no secret values.
    Viewer,
    /// Reads what a viewer reads and changes workloads: apply, remove, restart, exec. The API shows
    /// it no secret values; it can still start a container that is given one.
    Operator,
    /// Everything, including secret values, users, nodes and backups.
    Admin,
    /// A member of the cluster. On the user-facing routes it reads what a viewer reads; what
    /// members do among themselves checks for exactly this role.
    Node,
}

impl Role {
    /// All roles, weakest first.
    pub const ALL: [Self; 5] = [Self::Join, Self::Viewer, Self::Operator, Self::Admin, Self::Node];

    /// The word in the certificate.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Node => "node",
        }
    }

    /// May read objects, status, logs and events without secret values.
    pub fn may_read(self) -> bool {
        !matches!(self, Self::Join)
    }

    /// May change workloads, and run commands in them.
    pub fn may_change(self) -> bool {
        matches!(self, Self::Operator | Self::Admin)
    }

    /// May see the values of secrets, and manage users, nodes and backups.
    pub fn may_admin(self) -> bool {
        matches!(self, Self::Admin)
    }

    /// May ask to become a member of the cluster.
    pub fn may_join(self) -> bool {
        matches!(self, Self::Join | Self::Admin)
    }

    /// Is a member of the cluster.
    pub fn is_node(self) -> bool {
        matches!(self, Self::Node)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| PkiError::UnknownRole { role: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_grow_from_viewer_to_admin_and_joiners_may_only_join() {
        let rights = |r: Role| [r.may_read(), r.may_change(), r.may_admin(), r.may_join()];
        assert_eq!(rights(Role::Join), [false, false, false, true]);
        assert_eq!(rights(Role::Viewer), [true, false, false, false]);
        assert_eq!(rights(Role::Operator), [true, true, false, false]);
        assert_eq!(rights(Role::Admin), [true, true, true, true]);
        assert_eq!(rights(Role::Node), [true, false, false, false]);
    }

    #[test]
    fn words_round_trip_and_others_are_refused() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        let message = "Admin".parse::<Role>().unwrap_err().to_string();
        assert_eq!(message, "`Admin` is not a role; use admin, operator, viewer or node");
    }
}
