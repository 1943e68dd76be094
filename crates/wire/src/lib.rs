//! The control API as data: what clients send, what servers answer, and the error envelope.
//!
//! Start reading at [`routes`], then [`ApplyResponse`] and [`ErrorBody`]. Nothing here knows HTTP
//! libraries; `server` and `client` both speak these types.

mod certificates;
mod cluster;
mod error;
mod exec;
mod node;
mod objects;
mod placement;
mod replicas;
mod rollout;
pub mod routes;
mod secret;
mod stream;

pub use certificates::{
    AuthoritiesInfo, AuthorityInfo, CertificateAnswer, CertificateInfo, CertificateList,
    CertificateRequest, RevokeRequest, RevokeResponse, RotateAction, RotateRequest, RotationState,
    TrustInfo, UserCreate, UserCreated,
};
pub use cluster::{
    ClusterSettings, ClusterSettingsPatch, ClusterStatus, JoinRequest, JoinResponse, MemberInfo,
    Rebalance, TokenCreate, TokenCreated, TokenInfo, TokenList, TokenState, TransferRequest,
};
pub use error::{ApiError, Code, ErrorBody, ErrorDetail};
pub use exec::{ExecControl, ExecQuery, Resize};
pub use node::{
    BackupInfo, Health, HealthCheck, NodeList, NodePatch, NodeRemoveQuery, NodeView, RaftRole,
    StoreInfo, Version,
};
pub use objects::{
    ApplyAction, ApplyQuery, ApplyResponse, ApplyResult, DeleteQuery, DeleteResponse, FieldChange,
    Object, ObjectList, ObjectQuery, ReadQuery, Warning,
};
pub use placement::{
    FilterRefusal, NodeVerdict, PlacedReplica, PlacementExplanation, PlacementPlan, PlanAction,
    PlannedReplica,
};
pub use replicas::{
    Image, ImageList, LogQuery, ReplicaDetail, ReplicaList, ReplicaQuery, RestartResponse,
};
pub use rollout::{
    HistoryEntry, RolloutAction, RolloutQuery, RolloutReplica, RolloutResponse, RolloutView,
};
pub use secret::Secret;
pub use stream::{EventList, EventQuery, StreamItem, WatchEvent, WatchKind, WatchQuery};
