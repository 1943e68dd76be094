//! A method per route.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use http::{HeaderValue, Method, header};
use serde::Serialize;
use serde_json::Value;
use smr_model::ObjectKey;
use smr_pki::KeyLock;
use smr_wire::{
    ApplyQuery, ApplyResponse, ApplyResult, DeleteQuery, DeleteResponse, EventList, EventQuery,
    Health, ImageList, LogQuery, Object, ObjectList, ObjectQuery, ReplicaDetail, ReplicaList,
    ReplicaQuery, RestartResponse, StreamItem, Version, WatchQuery, routes,
};

use crate::{
    Client, Error, LogChunk,
    stream::{chunks, frames, items},
};

pub(crate) const YAML: &str = "application/yaml";
const MERGE_PATCH: &str = "application/merge-patch+json";

impl Client {
    /// Applies the documents of `body`, YAML or JSON, all or none.
    pub async fn apply(&self, query: &ApplyQuery, body: String) -> Result<ApplyResponse, Error> {
        let request = self.request(Method::POST, routes::APPLY).query(query);
        self.json(request.header(header::CONTENT_TYPE, YAML).body(body)).await
    }

    /// Deletes every object of the documents of `body`.
    pub async fn remove(&self, query: &DeleteQuery, body: String) -> Result<DeleteResponse, Error> {
        let request = self.request(Method::POST, routes::REMOVE).query(query);
        self.json(request.header(header::CONTENT_TYPE, YAML).body(body)).await
    }

    /// Lists objects.
    pub async fn objects(&self, query: &ObjectQuery) -> Result<ObjectList, Error> {
        self.read(routes::OBJECTS, query).await
    }

    /// One object; with confidential values when `reveal` is set and the role allows it.
    pub async fn object(&self, key: &ObjectKey, reveal: bool) -> Result<Object, Error> {
        let query = ObjectQuery { prefix: prefix(key), reveal, ..ObjectQuery::default() };
        self.read(&object_path(key), &query).await
    }

    /// Changes an object by a JSON merge patch (RFC 7396).
    pub async fn patch(&self, key: &ObjectKey, patch: &Value) -> Result<ApplyResult, Error> {
        let query = DeleteQuery { prefix: prefix(key), source: None };
        let request = self.request(Method::PATCH, &object_path(key)).query(&query);
        let body = patch.to_string();
        self.json(request.header(header::CONTENT_TYPE, MERGE_PATCH).body(body)).await
    }

    /// Deletes an object.
    pub async fn delete(&self, key: &ObjectKey) -> Result<DeleteResponse, Error> {
        let query = DeleteQuery { prefix: prefix(key), source: None };
        self.json(self.request(Method::DELETE, &object_path(key)).query(&query)).await
    }

    /// Statuses of replicas.
    pub async fn replicas(&self, query: &ReplicaQuery) -> Result<ReplicaList, Error> {
        self.read(routes::REPLICAS, query).await
    }

    /// Everything about one replica, by its generated name.
    pub async fn replica(&self, group: &str, replica: &str) -> Result<ReplicaDetail, Error> {
        self.read(&replica_path(routes::REPLICA, group, replica), &()).await
    }

    /// Restarts a replica, or all replicas of an object.
    pub async fn restart(&self, group: &str, replica: &str) -> Result<RestartResponse, Error> {
        self.json(self.request(Method::POST, &replica_path(routes::RESTART, group, replica))).await
    }

    /// The log of a container.
    pub async fn logs(
        &self,
        group: &str,
        replica: &str,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogChunk, Error>>, Error> {
        let path = replica_path(routes::LOGS, group, replica);
        Ok(frames(self.open(&path, query, false).await?, routes::LOGS).boxed())
    }

    /// The reconciler's own log about a replica, as text.
    pub async fn debug(
        &self,
        group: &str,
        replica: &str,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.open(&replica_path(routes::DEBUG, group, replica), query, false).await
    }

    /// Past events.
    pub async fn events(&self, query: &EventQuery) -> Result<EventList, Error> {
        self.read(routes::EVENTS, &EventQuery { follow: false, ..query.clone() }).await
    }

    /// Events, and those to come. The stream ends with an error when the cluster says nothing for
    /// too long; go on from the revision of the last item.
    pub async fn follow_events(
        &self,
        query: &EventQuery,
    ) -> Result<BoxStream<'static, Result<StreamItem, Error>>, Error> {
        let query = EventQuery { follow: true, ..query.clone() };
        Ok(items(self.open_stored(routes::EVENTS, &query).await?, routes::EVENTS).boxed())
    }

    /// The present state and its changes.
    pub async fn watch(
        &self,
        query: &WatchQuery,
    ) -> Result<BoxStream<'static, Result<StreamItem, Error>>, Error> {
        Ok(items(self.open_stored(routes::WATCH, query).await?, routes::WATCH).boxed())
    }

    /// Images used by replicas.
    pub async fn images(&self) -> Result<ImageList, Error> {
        self.read(routes::IMAGES, &()).await
    }

    /// Whether the node and its parts work. A node that says it does not work is an answer, not
    /// an error.
    pub async fn health(&self) -> Result<Health, Error> {
        let request = self.request(Method::GET, routes::HEALTH).timeout(self.options().answer);
        let response = request.send().await.map_err(|err| self.failure(err))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|err| self.failure(err))?;
        serde_json::from_slice(&body)
            .map_err(|_| crate::connection::refusal(routes::HEALTH, status, &body))
    }

    /// Versions of the node.
    pub async fn version(&self) -> Result<Version, Error> {
        self.get(routes::VERSION, &()).await
    }

    /// An online backup, in pieces; with the cluster's data key in it, sealed under `lock`, if there
    /// is one.
    pub async fn backup(
        &self,
        lock: Option<&KeyLock>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let mut request = self.request(Method::GET, routes::BACKUP);
        if let Some(lock) = lock {
            let mut value = HeaderValue::from_str(&lock.expose_for_sealing())
                .expect("a lock is one word of ASCII");
            value.set_sensitive(true);
            request = request.header(routes::BACKUP_LOCK, value);
        }
        self.chunks(request, true).await
    }

    /// Whether the cluster accepts the credentials.
    pub async fn connect(&self) -> Result<(), Error> {
        let request = self.request(Method::GET, routes::CONNECT).timeout(self.options().answer);
        self.send(request).await.map(drop)
    }

    async fn open(
        &self,
        path: &str,
        query: &impl Serialize,
        talks: bool,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.chunks(self.request(Method::GET, path).query(query), talks).await
    }

    /// A stream of stored things, which says something now and then.
    async fn open_stored(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.chunks(self.reading_request(Method::GET, path).query(query), true).await
    }

    async fn chunks(
        &self,
        request: reqwest::RequestBuilder,
        talks: bool,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let response = self.send(request).await?;
        let silence = talks.then_some(self.options().silence);
        Ok(chunks(self.url().to_owned(), response, silence).boxed())
    }
}

fn prefix(key: &ObjectKey) -> Option<String> {
    (key.prefix != smr_model::DEFAULT_PREFIX).then(|| key.prefix.clone())
}

fn object_path(key: &ObjectKey) -> String {
    routes::OBJECT
        .replace("{kind}", key.kind.as_str())
        .replace("{group}", &escape(&key.group))
        .replace("{name}", &escape(&key.name))
}

pub(crate) fn replica_path(route: &str, group: &str, replica: &str) -> String {
    route.replace("{group}", &escape(group)).replace("{replica}", &escape(replica))
}

/// Percent-encodes everything that is not unreserved (RFC 3986), so that a name can never change
/// the path.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    // A lone dot segment would be resolved away by URL parsers, escaped or not.
    match out.as_str() {
        "." => "%252E".to_owned(),
        ".." => "%252E%252E".to_owned(),
        _ => out,
    }
}

impl Client {
    /// The whole of [`Client::debug`] without following.
    pub async fn debug_text(&self, group: &str, replica: &str) -> Result<String, Error> {
        let mut stream = self.debug(group, replica, &LogQuery::default()).await?;
        let mut text = Vec::new();
        while let Some(chunk) = stream.next().await {
            text.extend_from_slice(&chunk?);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use smr_model::Kind;

    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        let key = ObjectKey::new(Kind::Custom, "a/b", "c?d#e %");
        assert_eq!(object_path(&key), "/api/v1/objects/custom/a%2Fb/c%3Fd%23e%20%25");
        assert_eq!(
            replica_path(routes::LOGS, "..", "web-1"),
            "/api/v1/replicas/%252E%252E/web-1/logs"
        );
    }
}
