//! Whom a certificate is for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{DistinguishedName, DnType, SanType};

use crate::{PkiError, Role};

/// The organisation in every subject.
pub(crate) const ORGANISATION: &str = "simplecontainer";
/// What the URI of a member begins with; its id follows.
pub(crate) const NODE_URI: &str = "smr://node/";
/// What the name of a joiner begins with; the id of its token follows.
pub(crate) const JOINER: &str = "join-";

/// Whom a certificate is for: name, role and, for nodes, the addresses it answers at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    name: String,
    role: Role,
    node_id: Option<u64>,
    domains: Vec<String>,
    ips: Vec<IpAddr>,
}

impl Subject {
    /// A member of a cluster: a node with the id the cluster gave it, which is in its certificate
    /// as the URI `smr://node/ID`. Otherwise like [`Subject::node`].
    ///
    /// # Errors
    /// See [`Subject::node`].
    pub fn member(
        name: &str,
        id: u64,
        domains: &[String],
        ips: &[IpAddr],
    ) -> Result<Self, PkiError> {
        Ok(Self { node_id: Some(id), ..Self::node(name, domains, ips)? })
    }

    /// A node that has no id (yet). `localhost`, `node.private`, 127.0.0.1 and ::1 are always among its addresses.
    ///
    /// # Errors
    /// [`PkiError::BadName`], [`PkiError::BadDomain`].
    pub fn node(name: &str, domains: &[String], ips: &[IpAddr]) -> Result<Self, PkiError> {
        let mut all_domains = vec!["localhost".to_owned(), "node.private".to_owned()];
        all_domains.extend(domains.iter().map(|d| d.to_ascii_lowercase()));
        let mut all_ips = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        all_ips.extend_from_slice(ips);
        all_domains.sort_unstable();
        all_domains.dedup();
        all_ips.sort_unstable();
        all_ips.dedup();
        if let Some(domain) = all_domains.iter().find(|domain| !is_domain(domain)) {
            return Err(PkiError::BadDomain { domain: domain.clone() });
        }
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            role: Role::Node,
            node_id: None,
            domains: all_domains,
            ips: all_ips,
        })
    }

    /// A user.
    ///
    /// # Errors
    /// [`PkiError::BadName`]; [`PkiError::NodeRoleForUser`] for [`Role::Node`].
    pub fn user(name: &str, role: Role) -> Result<Self, PkiError> {
        check_name(name)?;
        if role.is_node() {
            return Err(PkiError::NodeRoleForUser { name: name.to_owned() });
        }
        Ok(Self {
            name: name.to_owned(),
            role,
            node_id: None,
            domains: Vec::new(),
            ips: Vec::new(),
        })
    }

    /// The holder of the join token `id`.
    ///
    /// # Errors
    /// [`PkiError::BadName`].
    pub fn joiner(id: &str) -> Result<Self, PkiError> {
        Self::user(&format!("{JOINER}{id}"), Role::Join)
    }

    /// The common name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The id of a member of a cluster.
    pub fn node_id(&self) -> Option<u64> {
        self.node_id
    }

    /// Domains the holder answers at, sorted; empty for users.
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// Addresses the holder answers at, sorted; empty for users.
    pub fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    pub(crate) fn distinguished_name(&self) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, ORGANISATION);
        name.push(DnType::OrganizationalUnitName, self.role.as_str());
        name.push(DnType::CommonName, self.name.as_str());
        name
    }

    pub(crate) fn alternative_names(&self) -> Result<Vec<SanType>, PkiError> {
        let mut names = Vec::with_capacity(self.domains.len() + self.ips.len());
        for domain in &self.domains {
            let text = domain
                .as_str()
                .try_into()
                .map_err(|_| PkiError::BadDomain { domain: domain.clone() })?;
            names.push(SanType::DnsName(text));
        }
        names.extend(self.ips.iter().copied().map(SanType::IpAddress));
        if let Some(id) = self.node_id {
            let uri = format!("{NODE_URI}{id}").try_into().expect("the URI is ASCII");
            names.push(SanType::URI(uri));
        }
        Ok(names)
    }
}

/// Refuses what cannot be a common name; the rules of [`PkiError::BadName`].
pub(crate) fn check_name(name: &str) -> Result<(), PkiError> {
    let fits = (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if fits { Ok(()) } else { Err(PkiError::BadName { name: name.to_owned() }) }
}

fn is_domain(domain: &str) -> bool {
    let bare = domain.strip_prefix("*.").unwrap_or(domain);
    (1..=253).contains(&bare.len())
        && bare.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_always_answers_at_localhost() {
        let node = Subject::node("node-1", &["Node.Example.com".to_owned()], &[]).unwrap();
        assert_eq!(node.domains(), ["localhost", "node.example.com", "node.private"]);
        assert_eq!(node.ips().len(), 2);
        assert_eq!(node.node_id(), None);
        let member = Subject::member("node-1", 7, &[], &[]).unwrap();
        assert_eq!((member.node_id(), member.ips().len()), (Some(7), 2));
    }

    #[test]
    fn names_and_domains_are_checked() {
        for bad in ["", "../x", "a b", "-a", &"x".repeat(64), "é"] {
            assert!(Subject::user(bad, Role::Admin).is_err(), "{bad}");
        }
        for bad in ["", "a..b", "-a.b", "a_b.c d", "*"] {
            assert!(Subject::node("n", &[bad.to_owned()], &[]).is_err(), "{bad}");
        }
        assert_eq!(
            Subject::user("kim", Role::Node).unwrap_err().to_string(),
            "user `kim` cannot have the role `node`; use admin, operator or viewer"
        );
    }
}
