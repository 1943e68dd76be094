//! One cluster, one set of credentials: building requests and reading answers.

use std::{sync::Arc, time::Duration};

use http::Method;
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use smr_pki::{Alpn, Context, Credentials};
use smr_wire::{ApiError, Code, ErrorBody, ReadQuery};

use crate::error::{Error, transport};

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the complete answer of a request that is not a stream.
    pub answer: Duration,
    /// For the next part of a stream; the cluster says something at least this often.
    pub silence: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_mins(1),
            silence: Duration::from_secs(90),
        }
    }
}

/// A client of one control API. Cheap to clone; connections are shared and kept.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    tls: Arc<ClientConfig>,
    url: Arc<str>,
    options: Options,
    /// Whether reads ask for the node's own copy.
    stale: bool,
}

impl Client {
    /// A client of the cluster a context is of.
    ///
    /// # Errors
    /// [`Error::Context`] and [`Error::Credentials`] when the bundle cannot be used.
    pub fn new(context: &Context, options: Options) -> Result<Self, Error> {
        let credentials = context.credentials().map_err(|err| Error::Context(Box::new(err)))?;
        Self::with_credentials(context.api_url(), &credentials, options)
    }

    /// A client of the control API at `url` (`https://host:port`).
    ///
    /// # Errors
    /// [`Error::Credentials`] when they cannot be used.
    pub fn with_credentials(
        url: &str,
        credentials: &Credentials,
        options: Options,
    ) -> Result<Self, Error> {
        // HTTP/1.1: a command makes one or two requests, and websockets need it anyway.
        let tls = smr_pki::client_config(credentials, Alpn::Http1)
            .map_err(|err| Error::Credentials(Box::new(err)))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.connect)
            .user_agent(concat!("smrctl/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|err| transport(url, err.into(), true))?;
        Ok(Self {
            http,
            tls: Arc::new(tls),
            url: url.trim_end_matches('/').into(),
            options,
            stale: false,
        })
    }

    /// The same, whose reads of stored things, if `stale`, ask for the own copy of the node at
    /// [`Client::url`] ([`ReadQuery`]): it may be behind, and it is there without quorum too.
    #[must_use]
    pub fn reading(&self, stale: bool) -> Self {
        Self { stale, ..self.clone() }
    }

    /// Address of the control API, `https://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn options(&self) -> Options {
        self.options
    }

    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends; success or the cluster's own error. For streams there is no limit on the whole.
    pub(crate) async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, Error> {
        let sent = tokio::time::timeout(self.options.answer, request.send()).await;
        let response = sent
            .map_err(|_| Error::Timeout { url: self.url.to_string(), after: self.options.answer })?
            .map_err(|err| self.failure(err))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// Sends and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, Error> {
        let response = self.send(request.timeout(self.options.answer)).await?;
        let url = response.url().path().to_owned();
        let body = response.bytes().await.map_err(|err| self.failure(err))?;
        serde_json::from_slice(&body)
            .map_err(|err| Error::Protocol { url, what: format!("unexpected body, {err}") })
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, Error> {
        self.json(self.request(Method::GET, path).query(query)).await
    }

    /// A request for stored things.
    pub(crate) fn reading_request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.request(method, path).query(&ReadQuery { stale: self.stale })
    }

    /// Reads stored things.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, Error> {
        self.json(self.reading_request(Method::GET, path).query(query)).await
    }

    /// The envelope of an answer that is not a success.
    async fn refusal(&self, response: reqwest::Response) -> Error {
        let status = response.status().as_u16();
        let url = response.url().path().to_owned();
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(err) => return self.failure(err),
        };
        refusal(&url, status, &body)
    }

    pub(crate) fn failure(&self, err: reqwest::Error) -> Error {
        if err.is_timeout() && !err.is_connect() {
            return Error::Timeout { url: self.url.to_string(), after: self.options.answer };
        }
        let connecting = err.is_connect();
        transport(&self.url, err.without_url().into(), connecting)
    }
}

/// Reads an error envelope; anything else is a protocol error, except for the few statuses that
/// layers below the API answer on their own.
pub(crate) fn refusal(url: &str, status: u16, body: &[u8]) -> Error {
    if let Ok(body) = serde_json::from_slice::<ErrorBody>(body) {
        return body.error.into();
    }
    let text = String::from_utf8_lossy(body);
    let said = text.lines().next().unwrap_or_default().chars().take(200).collect::<String>();
    match status {
        401 => {
            ApiError::new(Code::Unauthenticated, "the client certificate is not accepted").into()
        }
        413 => ApiError::new(Code::TooLarge, "the request is larger than the node accepts").into(),
        _ if said.is_empty() => {
            Error::Protocol { url: url.to_owned(), what: format!("status {status}") }
        }
        _ => Error::Protocol { url: url.to_owned(), what: format!("status {status}, `{said}`") },
    }
}
