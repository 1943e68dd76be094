//! The table of routes.

mod certificates;
mod cluster;
mod exec;
mod node;
mod objects;
mod placement;
mod replicas;
mod streams;

use axum::routing::{delete, get, patch, post};
use http::Method;
use smr_wire::{
    ApplyQuery, ApplyResponse, AuthoritiesInfo, CertificateAnswer, CertificateList,
    CertificateRequest, ClusterSettings, ClusterSettingsPatch, ClusterStatus, DeleteQuery,
    DeleteResponse, EventList, EventQuery, ExecQuery, Health, ImageList, JoinRequest, JoinResponse,
    LogQuery, NodeList, NodePatch, NodeRemoveQuery, NodeView, Object, ObjectList, ObjectQuery,
    PlacementExplanation, PlacementPlan, ReplicaDetail, ReplicaList, ReplicaQuery, RestartResponse,
    RevokeRequest, RevokeResponse, RolloutQuery, RolloutResponse, RolloutView, RotateRequest,
    StreamItem, TokenCreate, TokenCreated, TokenInfo, TokenList, TransferRequest, UserCreate,
    UserCreated, Version, WatchQuery, routes,
};

use crate::route::{
    Access::{self, Admin, Change, Lead, Read, Run},
    Route,
};

const DOCUMENTS: &str = "application/yaml";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Every route of the control API.
pub(crate) fn table() -> Vec<Route> {
    let parts = [objects(), replicas(), cluster(), certificates(), placement(), node()];
    parts.into_iter().flatten().collect()
}

fn objects() -> Vec<Route> {
    use Method as M;
    vec![
        Route::new(Change, M::POST, routes::APPLY, "apply", || post(objects::apply))
            .summary("Apply YAML or JSON documents; all are checked before the first is written")
            .query::<ApplyQuery>()
            .body(DOCUMENTS)
            .json::<ApplyResponse>(),
        Route::new(Change, M::POST, routes::REMOVE, "remove", || post(objects::remove))
            .summary("Delete every object of YAML or JSON documents")
            .query::<DeleteQuery>()
            .body(DOCUMENTS)
            .json::<DeleteResponse>(),
        Route::new(Read, M::GET, routes::OBJECTS, "list_objects", || get(objects::list))
            .summary("List objects; `reveal` is for administrators")
            .query::<ObjectQuery>()
            .stored()
            .json::<ObjectList>(),
        Route::new(Read, M::GET, routes::OBJECT, "get_object", || get(objects::find))
            .summary("Get an object; `reveal` is for administrators")
            .query::<ObjectQuery>()
            .stored()
            .json::<Object>(),
        Route::new(Change, M::PATCH, routes::OBJECT, "patch_object", || patch(objects::patch))
            .summary("Change an object by a JSON merge patch (RFC 7396) of its definition")
            .query::<objects::PatchQuery>()
            .body(MERGE_PATCH)
            .json::<ApplyResponse>(),
        Route::new(Change, M::DELETE, routes::OBJECT, "delete_object", || delete(objects::delete))
            .summary("Delete an object")
            .query::<DeleteQuery>()
            .json::<DeleteResponse>(),
    ]
}

fn replicas() -> Vec<Route> {
    use Method as M;
    vec![
        Route::new(Read, M::GET, routes::REPLICAS, "list_replicas", || get(replicas::list))
            .summary("List the statuses of replicas")
            .query::<ReplicaQuery>()
            .stored()
            .json::<ReplicaList>(),
        Route::new(Read, M::GET, routes::REPLICA, "get_replica", || get(replicas::find))
            .summary("Get everything known about a replica, by its generated name")
            .stored()
            .json::<ReplicaDetail>(),
        Route::new(Change, M::POST, routes::RESTART, "restart_replica", || post(replicas::restart))
            .summary("Restart a replica, or all replicas of the object of that name")
            .json::<RestartResponse>(),
        Route::new(Read, M::GET, routes::LOGS, "read_logs", || get(replicas::logs))
            .summary("Read the log of a container, as a stream of frames")
            .query::<LogQuery>()
            .media(routes::MULTIPLEXED),
        Route::new(Read, M::GET, routes::DEBUG, "read_debug_log", || get(replicas::debug))
            .summary("Read the reconciler's own log about a replica")
            .query::<LogQuery>(),
        Route::new(Run, M::GET, routes::EXEC, "exec", || get(exec::exec))
            .summary("Run a command in a container, over a websocket (HTTP/1.1)")
            .query::<ExecQuery>()
            .media("application/octet-stream"),
        Route::new(Read, M::GET, routes::IMAGES, "list_images", || get(replicas::images))
            .summary("List the images replicas use")
            .stored()
            .json::<ImageList>(),
        Route::new(Read, M::GET, routes::EVENTS, "list_events", || get(streams::events))
            .summary("List events; with `follow`, stream them as lines (`StreamItem`)")
            .query::<EventQuery>()
            .stored()
            .json::<EventList>(),
        Route::new(Read, M::GET, routes::WATCH, "watch", || get(streams::watch))
            .summary("Stream objects and replica statuses as they change")
            .query::<WatchQuery>()
            .stored()
            .lines::<StreamItem>(routes::NDJSON),
    ]
}

fn cluster() -> Vec<Route> {
    use Method as M;
    vec![
        Route::new(Read, M::GET, routes::CLUSTER, "get_cluster", || get(cluster::status))
            .summary("Tell who is in the cluster and who leads")
            .stored()
            .json::<ClusterStatus>(),
        Route::new(Access::Join, M::POST, routes::CLUSTER_JOIN, "join", || post(cluster::join))
            .summary("Become a member, as an administrator or with a join token")
            .takes::<JoinRequest>()
            .json::<JoinResponse>(),
        Route::new(Lead, M::POST, routes::CLUSTER_TRANSFER, "transfer", || post(cluster::transfer))
            .summary("Hand the lead to another voter")
            .takes::<TransferRequest>()
            .json::<ClusterStatus>(),
        Route::new(Read, M::GET, routes::CLUSTER_SETTINGS, "get_settings", || {
            get(cluster::settings)
        })
        .summary("Get the settings of the cluster")
        .stored()
        .json::<ClusterSettings>(),
        Route::new(Admin, M::PATCH, routes::CLUSTER_SETTINGS, "patch_settings", || {
            patch(cluster::patch_settings)
        })
        .summary("Change settings of the cluster")
        .takes::<ClusterSettingsPatch>()
        .json::<ClusterSettings>(),
        Route::new(Read, M::GET, routes::NODES, "list_nodes", || get(cluster::nodes))
            .summary("List nodes")
            .stored()
            .json::<NodeList>(),
        Route::new(Read, M::GET, routes::NODE, "get_node", || get(cluster::node))
            .summary("Get a node, by id or name")
            .stored()
            .json::<NodeView>(),
        Route::new(Admin, M::PATCH, routes::NODE, "patch_node", || patch(cluster::patch_node))
            .summary("Change availability, labels or role of a node")
            .takes::<NodePatch>()
            .json::<NodeView>(),
        Route::new(Admin, M::DELETE, routes::NODE, "remove_node", || delete(cluster::remove_node))
            .summary("Remove a node for good; the answer is what it was")
            .query::<NodeRemoveQuery>()
            .json::<NodeView>(),
    ]
}

fn certificates() -> Vec<Route> {
    use Method as M;
    vec![
        Route::new(Admin, M::GET, routes::TOKENS, "list_tokens", || get(certificates::tokens))
            .summary("List join tokens, without their secrets")
            .stored()
            .json::<TokenList>(),
        Route::new(Admin, M::POST, routes::USERS, "create_user", || {
            post(certificates::create_user)
        })
        .summary("Make a certificate for a user; its key is in this answer and nowhere else")
        .takes::<UserCreate>()
        .json::<UserCreated>(),
        Route::new(Admin, M::POST, routes::TOKENS, "create_token", || {
            post(certificates::create_token)
        })
        .summary("Make a join token; its text is in this answer and nowhere else")
        .takes::<TokenCreate>()
        .json::<TokenCreated>(),
        Route::new(Admin, M::DELETE, routes::TOKEN, "delete_token", || {
            delete(certificates::delete_token)
        })
        .summary("Delete a join token; nodes that joined with it stay")
        .json::<TokenInfo>(),
        Route::new(Admin, M::GET, routes::CERTIFICATES, "list_certificates", || {
            get(certificates::list)
        })
        .summary("List issued certificates")
        .stored()
        .json::<CertificateList>(),
        Route::new(Access::Node, M::POST, routes::CERTIFICATES, "renew_certificate", || {
            post(certificates::renew)
        })
        .summary("Have the key of the asking node signed anew")
        .takes::<CertificateRequest>()
        .json::<CertificateAnswer>(),
        Route::new(Admin, M::POST, routes::CERTIFICATE_REVOKE, "revoke_certificate", || {
            post(certificates::revoke)
        })
        .summary("Refuse a certificate by its serial number, or all of a node or user by name")
        .takes::<RevokeRequest>()
        .json::<RevokeResponse>(),
        Route::new(Admin, M::GET, routes::CLUSTER_AUTHORITIES, "get_authorities", || {
            get(certificates::authorities)
        })
        .summary("Get the authorities of the cluster and who trusts them")
        .stored()
        .json::<AuthoritiesInfo>(),
        Route::new(Admin, M::POST, routes::CLUSTER_AUTHORITIES, "rotate_authority", || {
            post(certificates::rotate)
        })
        .summary("Take a step of replacing the authority")
        .takes::<RotateRequest>()
        .json::<AuthoritiesInfo>(),
    ]
}

fn placement() -> Vec<Route> {
    use Method as M;
    vec![
        Route::new(Read, M::GET, routes::ROLLOUT, "get_rollout", || get(placement::rollout))
            .summary("Get how a change reaches the replicas, and former definitions")
            .stored()
            .json::<RolloutView>(),
        Route::new(Change, M::POST, routes::ROLLOUT_ACTION, "change_rollout", || {
            post(placement::change_rollout)
        })
        .summary("Pause, resume, promote or undo a rollout")
        .query::<RolloutQuery>()
        .json::<RolloutResponse>(),
        Route::new(Read, M::GET, routes::EXPLAIN, "explain_placement", || get(placement::explain))
            .summary("Explain why replicas are where they are, by object or replica")
            .stored()
            .json::<PlacementExplanation>(),
        Route::new(Change, M::POST, routes::PLAN, "plan_placement", || post(placement::plan))
            .summary("Tell where the replicas of documents would go, without applying them")
            .query::<ApplyQuery>()
            .stored()
            .body(DOCUMENTS)
            .json::<PlacementPlan>(),
    ]
}

fn node() -> Vec<Route> {
    use Method as M;
    vec![
        Route::new(Read, M::GET, routes::HEALTH, "get_health", || get(node::health))
            .summary("Tell whether the node works; the status is 503 when it does not")
            .json::<Health>(),
        Route::new(Read, M::GET, routes::VERSION, "get_version", || get(node::version))
            .summary("Tell versions")
            .json::<Version>(),
        Route::new(Admin, M::GET, routes::BACKUP, "create_backup", || get(node::backup))
            .summary("Make a backup and read it")
            .media("application/octet-stream")
            .patient(),
        Route::new(Read, M::GET, routes::OPENAPI, "get_openapi", || get(node::openapi))
            .summary("Read this description")
            .json::<serde_json::Value>(),
        Route::new(Read, M::GET, routes::CONNECT, "connect", || get(node::connect))
            .summary("Test a certificate"),
    ]
}
