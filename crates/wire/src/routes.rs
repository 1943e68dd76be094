//! The paths of the control API. `{kind}/{group}/{name}` are those of an object; an object under
//! another prefix than the default one is named by the query parameter `prefix`. Every `GET` of
//! stored things takes `stale=true` ([`crate::ReadQuery`]).

/// `POST`: apply YAML or JSON documents ([`crate::ApplyQuery`] → [`crate::ApplyResponse`]).
pub const APPLY: &str = "/api/v1/apply";
/// `GET`: list objects ([`crate::ObjectQuery`] → [`crate::ObjectList`]).
pub const OBJECTS: &str = "/api/v1/objects";
/// `GET` one ([`crate::Object`]), `PATCH` (JSON merge patch, RFC 7396), `DELETE`
/// ([`crate::DeleteResponse`]).
pub const OBJECT: &str = "/api/v1/objects/{kind}/{group}/{name}";
/// `POST`: delete every object of the documents in the body, as `apply` would read them.
pub const REMOVE: &str = "/api/v1/remove";
/// `GET`: statuses of replicas ([`crate::ReplicaQuery`] → [`crate::ReplicaList`]).
pub const REPLICAS: &str = "/api/v1/replicas";
/// `GET`: one replica by its generated name ([`crate::ReplicaDetail`]).
pub const REPLICA: &str = "/api/v1/replicas/{group}/{replica}";
/// `POST`: restart a replica, or all replicas of an object ([`crate::RestartResponse`]).
pub const RESTART: &str = "/api/v1/replicas/{group}/{replica}/restart";
/// `GET`: container log as a stream of frames ([`crate::LogQuery`]).
pub const LOGS: &str = "/api/v1/replicas/{group}/{replica}/logs";
/// `GET`: the reconciler's own log about a replica, text lines ([`crate::LogQuery`]).
pub const DEBUG: &str = "/api/v1/replicas/{group}/{replica}/debug";
/// `GET`, websocket: run a command ([`crate::ExecQuery`]).
pub const EXEC: &str = "/api/v1/replicas/{group}/{replica}/exec";
/// `GET`: events; newline-delimited JSON when `follow=true` ([`crate::EventQuery`]).
pub const EVENTS: &str = "/api/v1/events";
/// `GET`: changes of objects and replica statuses, newline-delimited JSON
/// ([`crate::WatchQuery`] → [`crate::StreamItem`]).
pub const WATCH: &str = "/api/v1/watch";
/// `GET`: nodes ([`crate::NodeList`]).
pub const NODES: &str = "/api/v1/nodes";
/// A node by id or name. `GET` ([`crate::NodeView`]), `PATCH` ([`crate::NodePatch`] →
/// [`crate::NodeView`]), `DELETE` ([`crate::NodeRemoveQuery`]).
pub const NODE: &str = "/api/v1/nodes/{node}";
/// `GET`: who is in the cluster and who leads ([`crate::ClusterStatus`]).
pub const CLUSTER: &str = "/api/v1/cluster";
/// `POST`: become a member, as an administrator or with a join token ([`crate::JoinRequest`] →
/// [`crate::JoinResponse`]).
pub const CLUSTER_JOIN: &str = "/api/v1/cluster/join";
/// `POST`: hand the lead to another voter ([`crate::TransferRequest`] →
/// [`crate::ClusterStatus`]).
pub const CLUSTER_TRANSFER: &str = "/api/v1/cluster/transfer";
/// `GET` and `PATCH` the settings of the cluster ([`crate::ClusterSettingsPatch`] →
/// [`crate::ClusterSettings`]).
pub const CLUSTER_SETTINGS: &str = "/api/v1/cluster/settings";
/// The cluster's authorities. `GET` ([`crate::AuthoritiesInfo`]), `POST`: a step of their
/// replacement ([`crate::RotateRequest`] → [`crate::AuthoritiesInfo`]).
pub const CLUSTER_AUTHORITIES: &str = "/api/v1/cluster/authorities";
/// Join tokens. `GET` ([`crate::TokenList`]), `POST` ([`crate::TokenCreate`] →
/// [`crate::TokenCreated`]).
pub const TOKENS: &str = "/api/v1/tokens";
/// `DELETE`: a join token by id; it lets nobody in any more ([`crate::TokenInfo`]).
pub const TOKEN: &str = "/api/v1/tokens/{id}";
/// `GET`: issued certificates ([`crate::CertificateList`]). `POST` by a node: sign its key anew
/// ([`crate::CertificateRequest`] → [`crate::CertificateAnswer`]).
pub const CERTIFICATES: &str = "/api/v1/certificates";
/// `POST`: a key and a certificate for a user ([`crate::UserCreate`] → [`crate::UserCreated`]).
pub const USERS: &str = "/api/v1/users";
/// `POST`: refuse a certificate, by serial, or all of a node or user, by name
/// ([`crate::RevokeRequest`] → [`crate::RevokeResponse`]).
pub const CERTIFICATE_REVOKE: &str = "/api/v1/certificates/{serial}/revoke";
/// `GET`: images used by replicas ([`crate::ImageList`]).
pub const IMAGES: &str = "/api/v1/images";
/// `GET`: how a change reaches the replicas of an object, and its former definitions
/// ([`crate::RolloutView`]).
pub const ROLLOUT: &str = "/api/v1/rollouts/{group}/{name}";
/// `POST`: `pause`, `resume`, `promote` or `undo` ([`crate::RolloutAction`], [`crate::RolloutQuery`]
/// → [`crate::RolloutResponse`]).
pub const ROLLOUT_ACTION: &str = "/api/v1/rollouts/{group}/{name}/{action}";
/// `GET`: why replicas are where they are ([`crate::PlacementExplanation`]); the name is that of a
/// `containers` object or of one replica.
pub const EXPLAIN: &str = "/api/v1/explain/{group}/{name}";
/// `POST`: where the documents in the body would go, without applying them
/// ([`crate::ApplyQuery`] → [`crate::PlacementPlan`]).
pub const PLAN: &str = "/api/v1/plan";
/// `GET`: whether the node and its parts work ([`crate::Health`]).
pub const HEALTH: &str = "/api/v1/health";
/// `GET`: versions ([`crate::Version`]).
pub const VERSION: &str = "/api/v1/version";
/// `GET`: an online backup, as one file.
pub const BACKUP: &str = "/api/v1/backup";
/// Header of [`BACKUP`]: a lock, made of a passphrase by the caller, under which the data key is put into
/// the file.
pub const BACKUP_LOCK: &str = "smr-backup-lock";
/// `GET`: the OpenAPI description of all this.
pub const OPENAPI: &str = "/api/v1/openapi.json";
/// `GET`: 200 for whoever has a valid certificate; used to test a context.
pub const CONNECT: &str = "/connect";

/// Media type of newline-delimited JSON streams.
pub const NDJSON: &str = "application/x-ndjson";
/// Media type of log streams: frames of one byte stream id (1 stdout, 2 stderr), three zero
/// bytes, a four-byte big-endian length and the payload, as the Docker API has them.
pub const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
