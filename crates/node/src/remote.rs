//! Logs and commands of replicas on other nodes: asked there, handed through here.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use smr_client::{Client, Error as ClientError, LogSource, Options};
use smr_control::{Control, keyspace};
use smr_model::{ReplicaKey, ReplicaStatus};
use smr_server::{ExecInput, ExecOutput, ExecSession, LogChunk};
use smr_wire::{ApiError, Code, ExecQuery, LogQuery};
use tokio::sync::mpsc;

use crate::identity::Identity;

/// The control API of the node that has a container of `replica`; `None` when that is this one, or when
/// no node is known to have one.
pub(crate) fn node_of(
    control: &Control,
    identity: &Identity,
    replica: &ReplicaKey,
) -> Result<Option<Client>, ApiError> {
    let internal = |what: String| ApiError::new(Code::Internal, what);
    let found = control
        .store()
        .list(&keyspace::statuses_of(replica))
        .map_err(|error| internal(format!("statuses cannot be read: {error}")))?;
    let statuses = found.kvs.iter();
    let mut holders: Vec<ReplicaStatus> = statuses
        .filter_map(|kv| serde_json::from_slice::<ReplicaStatus>(&kv.value).ok())
        .filter(|status| !status.container_id.is_empty())
        .collect();
    if holders.is_empty() || holders.iter().any(|status| status.node_id == control.node_id()) {
        // A node that has one answers itself, so that a request never goes round in circles.
        return Ok(None);
    }
    // While a replica moves there are two: the newer one is the one that is meant.
    holders.sort_by_key(|status| status.since);
    let Some(holder) = holders.pop() else { return Ok(None) };
    let member = control.member(holder.node_id).ok().flatten();
    let Some(member) = member.filter(|member| !member.api.is_empty()) else {
        let message =
            format!("`{replica}` is on node `{}`, whose address is not known", holder.node);
        return Err(ApiError::new(Code::Unavailable, message));
    };
    Client::with_credentials(&member.api, &identity.credentials(), Options::default())
        .map(Some)
        .map_err(|error| internal(error.to_string()))
}

/// What another node answered, as this node's answer.
fn passed_on(error: ClientError) -> ApiError {
    match error {
        ClientError::Api(error) => *error,
        other => {
            let message = format!("the node of the replica does not answer: {other}");
            ApiError::new(Code::Unavailable, message)
                .hint("`smrctl node ls` shows how the nodes are")
        }
    }
}

pub(crate) async fn logs(
    client: &Client,
    replica: &ReplicaKey,
    query: &LogQuery,
) -> Result<BoxStream<'static, Result<LogChunk, ApiError>>, ApiError> {
    let chunks = client.logs(&replica.group, &replica.generated_name(), query).await;
    let chunk = |chunk: Result<smr_client::LogChunk, ClientError>| {
        let chunk = chunk.map_err(passed_on)?;
        Ok(LogChunk { stderr: chunk.source == LogSource::Stderr, data: chunk.bytes })
    };
    Ok(chunks.map_err(passed_on)?.map(chunk).boxed())
}

pub(crate) async fn debug_log(
    client: &Client,
    replica: &ReplicaKey,
    query: &LogQuery,
) -> Result<BoxStream<'static, Bytes>, ApiError> {
    let text = client.debug(&replica.group, &replica.generated_name(), query).await;
    // An error in the middle ends the text, as a lost connection does.
    Ok(text.map_err(passed_on)?.filter_map(|part| std::future::ready(part.ok())).boxed())
}

pub(crate) async fn exec(
    client: &Client,
    replica: &ReplicaKey,
    query: &ExecQuery,
) -> Result<ExecSession, ApiError> {
    let exec = client.exec(&replica.group, &replica.generated_name(), query).await;
    let (mut remote, output) = exec.map_err(passed_on)?.split();
    let (input, mut inbox) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(message) = inbox.recv().await {
            let sent = match message {
                ExecInput::Data(bytes) => remote.write(bytes).await,
                ExecInput::Eof => remote.end().await,
                ExecInput::Resize(size) => remote.resize(size.width, size.height).await,
            };
            if sent.is_err() {
                return;
            }
        }
    });
    let output = output.map(|item| match item {
        Ok(smr_client::ExecOutput::Bytes(LogSource::Stderr, data)) => ExecOutput::Stderr(data),
        Ok(smr_client::ExecOutput::Bytes(_, data)) => ExecOutput::Stdout(data),
        Ok(smr_client::ExecOutput::Exit(code)) => ExecOutput::Exit(code),
        Err(error) => ExecOutput::Error(passed_on(error)),
    });
    Ok(ExecSession { input, output: output.boxed() })
}
