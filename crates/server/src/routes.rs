//! The table of routes.

mod exec;
mod node;
mod objects;
mod replicas;
mod streams;

use axum::routing::{delete, get, patch, post};
use http::Method;
use smr_wire::{
    ApplyQuery, ApplyResponse, DeleteQuery, DeleteResponse, EventList, EventQuery, ExecQuery,
    Health, ImageList, LogQuery, NodeList, Object, ObjectList, ObjectQuery, ReplicaDetail,
    ReplicaList, ReplicaQuery, RestartResponse, StreamItem, Version, WatchQuery, routes,
};

use crate::route::{
    Access::{Admin, Change, Read},
    Route,
};

const DOCUMENTS: &str = "application/yaml";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Every route of the control API.
pub(crate) fn table() -> Vec<Route> {
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
            .json::<ObjectList>(),
        Route::new(Read, M::GET, routes::OBJECT, "get_object", || get(objects::find))
            .summary("Get an object; `reveal` is for administrators")
            .query::<ObjectQuery>()
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
        Route::new(Read, M::GET, routes::REPLICAS, "list_replicas", || get(replicas::list))
            .summary("List the statuses of replicas")
            .query::<ReplicaQuery>()
            .json::<ReplicaList>(),
        Route::new(Read, M::GET, routes::REPLICA, "get_replica", || get(replicas::find))
            .summary("Get everything known about a replica, by its generated name")
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
        Route::new(Change, M::GET, routes::EXEC, "exec", || get(exec::exec))
            .summary("Run a command in a container, over a websocket (HTTP/1.1)")
            .query::<ExecQuery>()
            .media("application/octet-stream"),
        Route::new(Read, M::GET, routes::IMAGES, "list_images", || get(replicas::images))
            .summary("List the images replicas use")
            .json::<ImageList>(),
        Route::new(Read, M::GET, routes::EVENTS, "list_events", || get(streams::events))
            .summary("List events; with `follow`, stream them as lines (`StreamItem`)")
            .query::<EventQuery>()
            .json::<EventList>(),
        Route::new(Read, M::GET, routes::WATCH, "watch", || get(streams::watch))
            .summary("Stream objects and replica statuses as they change")
            .query::<WatchQuery>()
            .lines::<StreamItem>(routes::NDJSON),
        Route::new(Read, M::GET, routes::NODES, "list_nodes", || get(node::nodes))
            .summary("List nodes")
            .json::<NodeList>(),
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
