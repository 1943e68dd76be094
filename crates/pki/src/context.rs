//! Contexts: the address of a cluster together with the credentials of one user.

mod error;
mod local;
mod store;
mod transfer;

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

pub use error::ContextError;
pub use local::{LocalAdmin, ensure_local_admin, generate_local_admin, local_api};
pub use store::{ContextStore, DEFAULT_CONTEXT};
pub use transfer::ExportedContext;

use crate::Credentials;

/// The address of a cluster and the credentials of one user. `Debug` shows name and address.
#[derive(Clone)]
pub struct Context {
    name: String,
    api_url: String,
    bundle: SecretString,
}

impl Context {
    /// A context for `api`, which is `https://host:port` or just `host:port`.
    ///
    /// # Errors
    /// [`ContextError::BadName`], [`ContextError::BadUrl`].
    pub fn new(name: &str, api: &str, bundle: SecretString) -> Result<Self, ContextError> {
        store::check_name(name)?;
        Ok(Self { name: name.to_owned(), api_url: normal_url(api)?, bundle })
    }

    /// The name it is stored under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `https://host:port`, without a path.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The host part of the address, without brackets.
    pub fn host(&self) -> &str {
        let authority = self.api_url.trim_start_matches("https://");
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Private key, certificate and authority's certificate, PEM.
    pub fn bundle(&self) -> &SecretString {
        &self.bundle
    }

    /// The same context under another name.
    ///
    /// # Errors
    /// [`ContextError::BadName`].
    pub fn renamed(self, name: &str) -> Result<Self, ContextError> {
        store::check_name(name)?;
        Ok(Self { name: name.to_owned(), ..self })
    }

    /// The same context with another address.
    ///
    /// # Errors
    /// [`ContextError::BadUrl`].
    pub fn with_api(self, api: &str) -> Result<Self, ContextError> {
        Ok(Self { api_url: normal_url(api)?, ..self })
    }

    /// The credentials in the bundle.
    ///
    /// # Errors
    /// [`ContextError::Pki`].
    pub fn credentials(&self) -> Result<Credentials, ContextError> {
        let origin = format!("context `{}`", self.name);
        Ok(Credentials::from_bundle(self.bundle.expose_secret(), &origin)?)
    }

    fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let file = File {
            name: self.name.clone(),
            api_url: self.api_url.clone(),
            credentials: FileCredentials {
                bundle: Zeroizing::new(self.bundle.expose_secret().to_owned()),
                private_key: Some(Map::new()),
                cert: Some(Map::new()),
                ca: Some(Map::new()),
                user: None,
            },
        };
        Zeroizing::new(serde_json::to_vec(&file).expect("strings and empty maps are JSON"))
    }

    fn from_json(json: &[u8], origin: &str) -> Result<Self, ContextError> {
        let file: File = serde_json::from_slice(json)
            .map_err(|_| ContextError::NotAContext { origin: origin.to_owned() })?;
        let bundle = SecretString::from(file.credentials.bundle.as_str());
        Ok(Self { name: file.name, api_url: normal_url(&file.api_url)?, bundle })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.name)
            .field("api_url", &self.api_url)
            .finish_non_exhaustive()
    }
}

/// The file's shape. The empty objects and `User` are there for the tools of the original, which
/// write them and read only the bundle.
#[derive(Serialize, Deserialize)]
struct File {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "APIURL")]
    api_url: String,
    #[serde(rename = "Credentials")]
    credentials: FileCredentials,
}

#[derive(Serialize, Deserialize)]
struct FileCredentials {
    #[serde(rename = "PrivateKey", default)]
    private_key: Option<Map<String, Value>>,
    #[serde(rename = "Cert", default)]
    cert: Option<Map<String, Value>>,
    #[serde(rename = "Ca", default)]
    ca: Option<Map<String, Value>>,
    #[serde(rename = "CertBundle", with = "secret_text")]
    bundle: Zeroizing<String>,
    #[serde(rename = "User", default)]
    user: Option<Value>,
}

/// Strings that are wiped on drop, as plain strings.
mod secret_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(
        text: &Zeroizing<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(deserializer).map(Zeroizing::new)
    }
}

/// `https://host[:port]`; the port is 1443 unless given.
pub(crate) fn normal_url(api: &str) -> Result<String, ContextError> {
    let bad = || ContextError::BadUrl { url: api.to_owned() };
    let rest = api.strip_prefix("https://").or_else(|| api.strip_prefix("http://")).unwrap_or(api);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        // Of `[::1]` the last colon is inside the brackets.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (rest, "1443"),
    };
    let port: u16 = port.parse().map_err(|_| bad())?;
    let bare = match host.strip_prefix('[') {
        Some(v6) => {
            let v6 = v6.strip_suffix(']').ok_or_else(bad)?;
            v6.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            v6
        }
        None => host,
    };
    let is_host = !bare.is_empty()
        && bare.len() <= 253
        && (host.starts_with('[')
            || bare.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
    if port == 0 || !is_host {
        return Err(bad());
    }
    Ok(format!("https://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_shape_other_tools_read() {
        let context = Context::new("prod", "node.example.com:1443", "PEM".into()).unwrap();
        assert_eq!(
            std::str::from_utf8(&context.to_json()).unwrap(),
            r#"{"Name":"prod","APIURL":"https://node.example.com:1443","Credentials":{"PrivateKey":{},"Cert":{},"Ca":{},"CertBundle":"PEM","User":null}}"#
        );
        assert_eq!(
            format!("{context:?}"),
            r#"Context { name: "prod", api_url: "https://node.example.com:1443", .. }"#
        );
    }

    #[test]
    fn addresses_become_https_with_a_port() {
        let url = |api: &str| normal_url(api).unwrap();
        assert_eq!(url("localhost"), "https://localhost:1443");
        assert_eq!(url("http://a.b:8443/"), "https://a.b:8443");
        assert_eq!(url("https://[::1]"), "https://[::1]:1443");
        assert_eq!(url("[::1]:9"), "https://[::1]:9");
        for bad in ["", "https://", "a:b", "a:0", "a:70000", "a/b", "ftp://x", "[::1", "::1", "a b"]
        {
            assert_eq!(
                normal_url(bad).unwrap_err().to_string(),
                format!("`{bad}` is not an API address; write `https://HOST:PORT`")
            );
        }
        let host = |api: &str| Context::new("a", api, "".into()).unwrap().host().to_owned();
        assert_eq!(host("[::1]:9"), "::1");
        assert_eq!(host("a.b"), "a.b");
    }
}
