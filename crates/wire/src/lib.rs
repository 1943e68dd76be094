//! The control API as data: what clients send, what servers answer, and the error envelope.
//!
//! Start reading at [`routes`], then [`ApplyResponse`] and [`ErrorBody`]. Nothing here knows HTTP
//! libraries; `server` and `client` both speak these types.

mod error;
mod exec;
mod node;
mod objects;
mod replicas;
pub mod routes;
mod stream;

pub use error::{ApiError, Code, ErrorBody, ErrorDetail};
pub use exec::{ExecControl, ExecQuery, Resize};
pub use node::{BackupInfo, Health, HealthCheck, NodeList, StoreInfo, Version};
pub use objects::{
    ApplyAction, ApplyQuery, ApplyResponse, ApplyResult, DeleteQuery, DeleteResponse, FieldChange,
    Object, ObjectList, ObjectQuery, Warning,
};
pub use replicas::{
    Image, ImageList, LogQuery, ReplicaDetail, ReplicaList, ReplicaQuery, RestartResponse,
};
pub use stream::{EventList, EventQuery, StreamItem, WatchEvent, WatchKind, WatchQuery};
