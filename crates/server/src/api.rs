//! The router: what every request passes on its way to a handler and back.
//!
//! Outermost: [`trace`] gives the request its id, span and metrics and turns a panic into an
//! answer. Then [`authenticate`] turns the connection's certificate into a [`Caller`]. Then, per
//! route, [`guard`] is the one place that decides whether the caller may, and sets the time limit.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, header};
use smr_control::Control;
use smr_pki::RevocationList;
use smr_wire::Code;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    Runtime, ServerConfig,
    caller::{Caller, End, Peer, unauthenticated},
    openapi, remainder,
    respond::Failure,
    route::{Access, Route},
    routes,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) control: Control,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) config: ServerConfig,
    /// Ends streams when the server stops.
    pub(crate) stop: CancellationToken,
    pub(crate) openapi: Bytes,
}

impl std::ops::Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Api {
    /// What ends the streams of a caller.
    pub(crate) fn end(&self, caller: Caller) -> End {
        End::new(caller, self.stop.clone())
    }
}

/// The rules of one route.
struct Rules {
    access: Access,
    parameters: Vec<String>,
    limit: Option<Duration>,
}

/// The router over everything.
pub(crate) fn router(
    control: Control,
    runtime: Arc<dyn Runtime>,
    config: ServerConfig,
    stop: CancellationToken,
) -> Router {
    let table = routes::table();
    let openapi = Bytes::from(openapi::text(&table));
    let limit = config.request_timeout;
    let revoked = config.revoked.clone();
    let api = Api(Arc::new(Inner { control, runtime, config, stop, openapi }));
    let mut router = Router::new();
    for route in table {
        let Route { path, handler, .. } = route;
        let rules = Arc::new(Rules {
            access: route.access,
            parameters: route.parameters(),
            limit: (!route.patient).then_some(limit),
        });
        router = router.route(path, handler().layer(middleware::from_fn_with_state(rules, guard)));
    }
    router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(revoked, authenticate))
        .layer(middleware::from_fn(remainder::discard))
        .layer(middleware::from_fn(trace))
        .with_state(api)
}

/// Gives the request an id and a span, and counts it.
async fn trace(request: Request, next: Next) -> Response {
    static REQUESTS: AtomicU64 = AtomicU64::new(1);
    let id = format!("{:08x}", REQUESTS.fetch_add(1, Ordering::Relaxed));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let peer = request.extensions().get::<Peer>();
    let peer = peer.and_then(|peer| peer.as_ref().ok());
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        %method,
        path = %request.uri().path(),
        peer.name = peer.map(|peer| peer.name.as_str()),
    );
    async move {
        let begin = Instant::now();
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            tracing::error!("request handler panicked");
            Failure::new(Code::Internal, "the node failed to answer, which is a bug in it")
                .hint("the node's log says more")
                .into_response()
        });
        let took = begin.elapsed();
        let status = response.status();
        tracing::debug!(status = status.as_u16(), duration_ms = took.as_millis(), "answered");
        let labels = [
            ("method", method.to_string()),
            ("route", route.clone()),
            ("status", status.as_str().to_owned()),
        ];
        metrics::counter!("smr_api_requests_total", &labels).increment(1);
        metrics::histogram!("smr_api_request_seconds", "route" => route).record(took.as_secs_f64());
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
    .instrument(span)
    .await
}

/// Lets nobody pass whose certificate names no known role, is over or revoked.
async fn authenticate(
    State(revoked): State<RevocationList>,
    mut request: Request,
    next: Next,
) -> Response {
    let identity = match request.extensions().get::<Peer>() {
        Some(Ok(identity)) => Arc::clone(identity),
        Some(Err(reason)) => {
            return Failure::new(Code::Unauthenticated, &**reason)
                .hint("use a certificate issued by this cluster")
                .into_response();
        }
        None => return unauthenticated().into_response(),
    };
    // It was good when the connection was made.
    let caller = match Caller::admit(identity, revoked) {
        Ok(caller) => caller,
        Err(failure) => return failure.into_response(),
    };
    if let Some(refusal) = foreign_origin(&request) {
        return refusal.into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Pages of other sites may not use a certificate that lies in a browser.
fn foreign_origin(request: &Request) -> Option<Failure> {
    let origin = request.headers().get(header::ORIGIN)?.to_str().unwrap_or_default();
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    if origin.strip_prefix("https://") == host {
        return None;
    }
    Some(Failure::new(Code::Forbidden, format!("requests from pages of `{origin}` are refused")))
}

/// Decides whether the caller may use the route with these parameters, and limits the time.
async fn guard(State(rules): State<Arc<Rules>>, request: Request, next: Next) -> Response {
    if let Err(failure) = check(&rules, &request) {
        return failure.into_response();
    }
    let Some(limit) = rules.limit else { return next.run(request).await };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Failure::new(Code::Timeout, format!("not done within {} seconds", limit.as_secs_f32()))
                .hint("what was begun may still happen; look before you repeat it")
                .into_response()
        }
    }
}

fn check(rules: &Rules, request: &Request) -> Result<(), Failure> {
    let caller = request.extensions().get::<Caller>().ok_or_else(unauthenticated)?;
    let forbidden = |what: &str, roles: &str| {
        let message = format!("role `{}` of `{}` may not {what}", caller.role(), caller.name());
        Failure::new(Code::Forbidden, message).hint(format!("allowed for {roles}"))
    };
    if !rules.access.admits(caller.role()) {
        let what = format!("{} {}", request.method(), request.uri().path());
        return Err(forbidden(&what, rules.access.roles()));
    }
    for (name, value) in parameters(request.uri().query().unwrap_or_default()) {
        if !rules.parameters.contains(&name) {
            let message = format!("there is no parameter `{name}` here");
            let failure = Failure::new(Code::BadRequest, message);
            let known = rules.parameters.join(", ");
            return Err(if known.is_empty() {
                failure
            } else {
                failure.hint(format!("use {known}"))
            });
        }
        if name == "reveal" && value != "false" && !caller.role().may_admin() {
            return Err(forbidden("see confidential values", Access::Admin.roles()));
        }
    }
    Ok(())
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let uri = format!("/?{query}").parse::<http::Uri>();
    let read = uri
        .ok()
        .and_then(|uri| axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri).ok());
    read.map(|query| query.0).unwrap_or_default()
}

async fn no_route(request: Request) -> Failure {
    let path = request.uri().path();
    Failure::new(Code::NotFound, format!("there is nothing at `{path}`"))
        .hint("the API description is at `/api/v1/openapi.json`")
}

async fn no_method(request: Request) -> Failure {
    let message = format!("`{}` does not know {}", request.uri().path(), request.method());
    Failure::new(Code::MethodNotAllowed, message)
        .hint("the API description is at `/api/v1/openapi.json`")
}
