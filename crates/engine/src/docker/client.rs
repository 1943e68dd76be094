//! The connection to a Docker API: lazily made, pooled, and negotiated again after the engine was
//! restarted or replaced.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, errors::Error as ApiError};
use futures_util::TryFutureExt;
use http::{HeaderValue, Uri};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::net::UnixStream;

use super::failure::{Task, classify, is_version_mismatch};
use crate::error::Error;

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A socket file.
    Unix(PathBuf),
    /// `host:port`, without encryption.
    Tcp(String),
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Self {
        for scheme in ["tcp://", "http://"] {
            if let Some(address) = text.strip_prefix(scheme) {
                return Self::Tcp(address.trim_end_matches('/').to_owned());
            }
        }
        Self::Unix(PathBuf::from(text.strip_prefix("unix://").unwrap_or(text)))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// A version of the API, for example 1.41.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApiVersion(pub(super) usize, pub(super) usize);

impl ApiVersion {
    /// A container can be made with more than one network from here on.
    pub(super) const MANY_NETWORKS: Self = Self(1, 44);
    /// Stop takes a signal from here on.
    pub(super) const STOP_SIGNAL: Self = Self(1, 42);

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A negotiated connection pool.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) docker: Docker,
    pub(super) version: ApiVersion,
}

/// How long calls may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Calls that only look.
    pub(super) read: Duration,
    /// Calls that change something, beside waiting they were asked for.
    pub(super) change: Duration,
    /// Silence within a pull.
    pub(super) pull_silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read: Duration::from_secs(30),
            change: Duration::from_mins(2),
            pull_silence: Duration::from_mins(5),
        }
    }
}

/// The engine's address and, while it answers, the pool of connections to it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) endpoint: Endpoint,
    pub(super) limits: Limits,
    api: RwLock<Option<Arc<Api>>>,
}

impl Connection {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, limits: Limits::default(), api: RwLock::new(None) }
    }

    /// The negotiated pool, made now if there is none. Callers may do so at the same time: waiting
    /// in line for a hung engine would add up.
    pub(super) async fn api(&self) -> Result<Arc<Api>, Error> {
        let known = self.api.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(api) = known {
            return Ok(api);
        }
        let task = Task::engine("tell its version");
        let negotiation = negotiate(&self.endpoint);
        let api = match tokio::time::timeout(self.limits.read, negotiation).await {
            Ok(result) => Arc::new(result.map_err(|e| classify(&self.endpoint, &task, e))?),
            Err(_) => return Err(task.timeout(self.limits.read)),
        };
        *self.api.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&api));
        tracing::debug!(endpoint = %self.endpoint, api = %api.version, "connected to engine");
        Ok(api)
    }

    /// Forgets the pool, so that the next call negotiates again.
    pub(super) fn forget(&self, api: &Arc<Api>) {
        let mut known = self.api.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|current| Arc::ptr_eq(current, api)) {
            *known = None;
        }
    }

    /// Makes one call within `limit`. Tells the raw error, for callers that know what it means.
    pub(super) async fn try_call<T, F>(
        &self,
        task: &Task,
        limit: Duration,
        call: impl Fn(Arc<Api>) -> F,
    ) -> Result<Result<T, ApiError>, Error>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let mut negotiated_again = false;
        loop {
            let api = self.api().await?;
            let outcome = tokio::time::timeout(limit, call(Arc::clone(&api))).await;
            return match outcome {
                Ok(Err(error)) if is_version_mismatch(&error) && !negotiated_again => {
                    self.forget(&api);
                    negotiated_again = true;
                    continue;
                }
                Ok(Err(error)) => {
                    if super::failure::is_connection_error(&error) {
                        self.forget(&api);
                    }
                    Ok(Err(error))
                }
                Ok(Ok(value)) => Ok(Ok(value)),
                Err(_) => Err(task.timeout(limit)),
            };
        }
    }

    /// Makes one call within `limit`.
    pub(super) async fn call<T, F>(
        &self,
        task: &Task,
        limit: Duration,
        call: impl Fn(Arc<Api>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        self.try_call(task, limit, call).await?.map_err(|e| classify(&self.endpoint, task, e))
    }
}

async fn negotiate(endpoint: &Endpoint) -> Result<Api, ApiError> {
    let prefix = Arc::new(OnceLock::new());
    let docker = match endpoint {
        Endpoint::Unix(path) => {
            let path: Arc<std::path::Path> = path.as_path().into();
            let connector = tower::service_fn(move |_: Uri| {
                let path = Arc::clone(&path);
                Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
            });
            pooled(connector, "http://docker", Arc::clone(&prefix))?
        }
        Endpoint::Tcp(address) => {
            let mut connector = HttpConnector::new();
            connector.set_connect_timeout(Some(Duration::from_secs(10)));
            connector.set_keepalive(Some(Duration::from_secs(30)));
            connector.set_nodelay(true);
            pooled(connector, &format!("http://{address}"), Arc::clone(&prefix))?
        }
    };
    let newest = ApiVersion(API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
    let offered = docker.version().await?.api_version;
    let offered = offered.as_deref().and_then(ApiVersion::parse);
    let version = offered.ok_or(ApiError::APIVersionParseError {})?.min(newest);
    let _ = prefix.set(format!("/v{version}"));
    Ok(Api { docker, version })
}

/// A client over pooled connections. The library opens a connection per call and leaves the
/// version out of paths; both is done here. Its own time limit counts whole seconds and covers
/// streams too, so it is set out of the way.
fn pooled<C>(connector: C, base: &str, prefix: Arc<OnceLock<String>>) -> Result<Docker, ApiError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    const NO_LIMIT: u64 = 10 * 365 * 24 * 3600;
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_mins(1))
        .pool_max_idle_per_host(32)
        .build(connector);
    let transport = move |mut request: BollardRequest| {
        if let Some(prefix) = prefix.get()
            && let Some(uri) = with_prefix(request.uri(), prefix)
        {
            *request.uri_mut() = uri;
        }
        url_safe_credentials(&mut request);
        client.request(request).map_err(ApiError::from)
    };
    Docker::connect_with_custom_transport(transport, Some(base), NO_LIMIT, API_DEFAULT_VERSION)
}

fn with_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    let path = uri.path_and_query()?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{prefix}{path}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Engines read this header in the URL-safe alphabet and silently drop it otherwise; the library
/// writes the other one.
fn url_safe_credentials(request: &mut BollardRequest) {
    const NAME: &str = "x-registry-auth";
    let Some(value) = request.headers().get(NAME).and_then(|value| value.to_str().ok()) else {
        return;
    };
    let safe = value.replace('+', "-").replace('/', "_");
    if let Ok(mut value) = HeaderValue::try_from(safe) {
        value.set_sensitive(true);
        request.headers_mut().insert(NAME, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_sockets_unless_they_say_otherwise() {
        let socket = Endpoint::Unix("/run/docker.sock".into());
        assert_eq!(Endpoint::parse("/run/docker.sock"), socket);
        assert_eq!(Endpoint::parse("unix:///run/docker.sock"), socket);
        assert_eq!(Endpoint::parse("tcp://h:2375"), Endpoint::Tcp("h:2375".into()));
        assert_eq!(Endpoint::parse("http://h:2375/"), Endpoint::Tcp("h:2375".into()));
    }

    #[test]
    fn the_version_goes_before_the_path_and_keeps_the_query() {
        let uri: Uri = "http://docker/containers/json?all=true".parse().unwrap();
        let versioned = with_prefix(&uri, "/v1.41").unwrap();
        assert_eq!(versioned.to_string(), "http://docker/v1.41/containers/json?all=true");
    }
}
