//! Names on the wire: headers, paths, versions.

use smr_store::RpcKind;

/// Version of what nodes say to each other. A node refuses a major version that it does not know,
/// and takes every minor one.
pub const PROTOCOL: (u32, u32) = (1, 0);

/// Header with the version, `1.0`.
pub(crate) const VERSION: http::HeaderName = http::HeaderName::from_static("smr-protocol");
/// Header with the id of the cluster.
pub(crate) const CLUSTER: http::HeaderName = http::HeaderName::from_static("smr-cluster");
/// Header with the id of the sender.
pub(crate) const SENDER: http::HeaderName = http::HeaderName::from_static("smr-node");
/// Header with the id of the node that is meant.
pub(crate) const TARGET: http::HeaderName = http::HeaderName::from_static("smr-target");
/// Header with the ground of a refusal.
pub(crate) const REFUSAL: http::HeaderName = http::HeaderName::from_static("smr-refusal");
/// Header with the user for whom a request is passed on.
pub(crate) const USER: http::HeaderName = http::HeaderName::from_static("smr-user");
/// Header with the role of that user.
pub(crate) const ROLE: http::HeaderName = http::HeaderName::from_static("smr-role");

/// All headers of ours; they are taken out of what is passed on.
pub(crate) const OURS: [http::HeaderName; 6] = [VERSION, CLUSTER, SENDER, TARGET, USER, ROLE];

/// Paths of the store's messages begin so.
pub(crate) const RAFT: &str = "/peer/v1/raft/";
/// Path of pings.
pub(crate) const PING: &str = "/peer/v1/ping";
/// Path of questions about a third node; its id follows.
pub(crate) const PROBE: &str = "/peer/v1/probe/";
/// Path that answers as long as the node is there.
pub(crate) const ALIVE: &str = "/peer/v1/alive";
/// Path of requests for a certificate.
pub(crate) const ENROL: &str = "/peer/v1/enrol";
/// Paths of the control API begin so.
pub(crate) const API: &str = "/api";

/// ALPN name of HTTP/2.
pub(crate) const H2: &[u8] = b"h2";
/// ALPN name of HTTP/1.1, for connections that are taken over by a websocket.
pub(crate) const H1: &[u8] = b"http/1.1";

/// The path of a kind of message.
pub(crate) fn path(kind: RpcKind) -> String {
    format!("{RAFT}{}", kind.name())
}

/// The kind of message a path is for.
pub(crate) fn kind(path: &str) -> Option<RpcKind> {
    let name = path.strip_prefix(RAFT)?;
    RpcKind::ALL.into_iter().find(|kind| kind.name() == name)
}

/// Reads `1.0`.
pub(crate) fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_message_has_a_path_of_its_own() {
        for known in RpcKind::ALL {
            assert_eq!(kind(&path(known)), Some(known));
        }
        assert_eq!(kind("/peer/v1/raft/nonsense"), None);
    }

    #[test]
    fn versions_are_two_numbers() {
        assert_eq!(version("1.0"), Some((1, 0)));
        assert_eq!(version("12.34"), Some((12, 34)));
        for bad in ["", "1", "1.x", "1.0.0", "-1.0"] {
            assert_eq!(version(bad), None, "{bad}");
        }
    }
}
