//! Who is at the other end of a connection, from the certificate.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use smr_pki::Identity;

/// The node at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its id.
    pub id: u64,
    /// What its certificate says: name, serial number, key, end of validity.
    pub identity: Identity,
}

impl Caller {
    /// Whether its certificate is past its end.
    pub fn is_expired(&self) -> bool {
        self.identity.is_expired(Timestamp::now())
    }
}

/// Reads who presented a certificate; otherwise the sentence that refuses it.
pub(crate) fn read(certificate: Option<&CertificateDer<'_>>) -> Result<Caller, String> {
    let certificate = certificate.ok_or("a certificate of a node of this cluster is required")?;
    let identity = Identity::from_der(certificate).map_err(|error| error.to_string())?;
    if !identity.role.is_node() {
        return Err(format!(
            "the certificate of `{}` has the role `{}`; only nodes talk to each other here, use \
             the control API",
            identity.name, identity.role
        ));
    }
    match identity.node_id {
        Some(id) => Ok(Caller { id, identity }),
        None => Err(format!(
            "the certificate of node `{}` has no node id; let it be issued anew",
            identity.name
        )),
    }
}
