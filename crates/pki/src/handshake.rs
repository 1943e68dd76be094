//! Why a handshake failed, in words for whoever runs the machine.

use std::{error::Error, io, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rustls::{CertificateError, Error as TlsError, pki_types::UnixTime};

/// What a failed connection means, if it failed for what TLS says about a certificate: one of
/// ours that the other side refuses, or the other side's. `None` for all else.
pub fn explain_handshake(error: &(dyn Error + 'static)) -> Option<String> {
    match find(error) {
        Some(TlsError::InvalidCertificate(problem)) => explain_certificate(problem),
        Some(TlsError::AlertReceived(alert)) => explain_alert(&format!("{alert:?}")),
        Some(TlsError::NoCertificatesPresented) => {
            Some("the other side shows no certificate".to_owned())
        }
        Some(_) => None,
        None => find_alert(error),
    }
}

/// HTTP/2 keeps no more than the text of what went wrong below it.
fn find_alert(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if let Some((_, alert)) = text.split_once("received fatal alert: ") {
            let name = alert.split(|c: char| !c.is_ascii_alphanumeric()).next();
            return name.and_then(explain_alert);
        }
        next = error.source();
    }
    None
}

/// The TLS library's error, wherever in the chain it is. An `io::Error` does not name what it
/// wraps as its source, but lends it.
fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &'a (dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn explain_certificate(problem: &CertificateError) -> Option<String> {
    Some(match problem {
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the certificate of the other side is not valid before {}, and this machine's clock \
             says {}; compare the clocks of both machines",
            at(*not_before),
            at(*time)
        ),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the certificate of the other side expired at {}, and this machine's clock says {}",
            at(*not_after),
            at(*time)
        ),
        CertificateError::Revoked => "the certificate of the other side was revoked".to_owned(),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate of the other side was not signed by an authority of this cluster"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, .. } => format!(
            "the certificate of the other side is not for `{}`; use an address it is for, or add \
             this one to `node.domains` or `node.ips` there",
            expected.to_str()
        ),
        CertificateError::Other(other) => other.0.to_string(),
        _ => return None,
    })
}

/// By the name of the alert.
fn explain_alert(alert: &str) -> Option<String> {
    let text = match alert {
        "CertificateExpired" => {
            "the other side says that our certificate has expired or is not valid yet; compare \
             the clocks of both machines"
        }
        "CertificateRevoked" => {
            "the other side says that our certificate was revoked: this node, user or join token \
             was removed from the cluster"
        }
        "UnknownCA" | "DecryptError" => {
            "the other side does not know the authority that signed our certificate: it belongs \
             to another cluster, or to an authority that was replaced"
        }
        "CertificateUnknown" => {
            "the other side does not take our certificate for what is done at this address"
        }
        "CertificateRequired" => "the other side asks for a certificate of the cluster",
        _ => return None,
    };
    Some(text.to_owned())
}

fn at(time: UnixTime) -> Timestamp {
    SignedDuration::try_from(Duration::from_secs(time.as_secs()))
        .ok()
        .and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok())
        .unwrap_or(Timestamp::MAX)
}
