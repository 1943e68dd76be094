//! Downloads of definitions from anywhere.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use rustls::{ClientConfig, RootCertStore};

use crate::{Error, error::root};

/// Most that is downloaded.
const LIMIT: usize = 16 << 20;

/// Downloads a text. Certificates are checked against the public roots built in; `http` is taken
/// as it is.
///
/// # Errors
/// [`Error::Download`], [`Error::DownloadStatus`], [`Error::DownloadTooLarge`].
pub async fn fetch_text(url: &str, timeout: Duration) -> Result<String, Error> {
    let failed = |err: reqwest::Error| Error::Download {
        url: url.to_owned(),
        source: root(&err.without_url()),
    };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(public_tls(url)?)
        .timeout(timeout)
        .user_agent(concat!("smrctl/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(failed)?;
    let response = client.get(url).send().await.map_err(failed)?;
    let status = response.status().as_u16();
    if !response.status().is_success() {
        return Err(Error::DownloadStatus { url: url.to_owned(), status });
    }
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(failed)?);
        if body.len() > LIMIT {
            return Err(Error::DownloadTooLarge { url: url.to_owned(), limit: LIMIT });
        }
    }
    String::from_utf8(body)
        .map_err(|err| Error::Download { url: url.to_owned(), source: err.into() })
}

fn public_tls(url: &str) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| Error::Download { url: url.to_owned(), source: err.into() })?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
