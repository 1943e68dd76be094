//! The paths of the control API. `{kind}/{group}/{name}` are those of an object; an object under
//! another prefix than the default one is named by the query parameter `prefix`.

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
/// `GET`: images used by replicas ([`crate::ImageList`]).
pub const IMAGES: &str = "/api/v1/images";
/// `GET`: whether the node and its parts work ([`crate::Health`]).
pub const HEALTH: &str = "/api/v1/health";
/// `GET`: versions ([`crate::Version`]).
pub const VERSION: &str = "/api/v1/version";
/// `GET`: an online backup, as one file.
pub const BACKUP: &str = "/api/v1/backup";
/// `GET`: the OpenAPI description of all this.
pub const OPENAPI: &str = "/api/v1/openapi.json";
/// `GET`: 200 for whoever has a valid certificate; used to test a context.
pub const CONNECT: &str = "/connect";

/// Media type of newline-delimited JSON streams.
pub const NDJSON: &str = "application/x-ndjson";
/// Media type of log streams: frames of one byte stream id (1 stdout, 2 stderr), three zero
/// bytes, a four-byte big-endian length and the payload, as the Docker API has them.
pub const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
