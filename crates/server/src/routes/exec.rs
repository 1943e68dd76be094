//! Commands in containers, over a websocket.

use std::time::Duration;

use axum::{
    extract::{
        FromRequestParts as _, Request, State,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    response::Response,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use smr_wire::{ApiError, Code, ExecControl, ExecQuery};
use tokio::sync::mpsc;

use super::replicas::ReplicaPath;
use crate::{
    ExecInput, ExecOutput, ExecSession,
    api::Api,
    caller::{Caller, End},
    extract::{Path, Query},
    respond::Failure,
};

/// A session without output says so this often, so that both ends notice a dead connection.
const PING: Duration = Duration::from_secs(30);
/// How long a client may take to read the last message.
const FAREWELL: Duration = Duration::from_secs(5);
/// Largest message from a client.
const MAX_MESSAGE: usize = 1024 * 1024;

pub(super) async fn exec(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ReplicaPath>,
    Query(query): Query<ExecQuery>,
    request: Request,
) -> Result<Response, Failure> {
    let command: Result<Vec<String>, _> = serde_json::from_str(&query.command);
    if !command.is_ok_and(|command| !command.is_empty()) {
        let message = "parameter `command` is not a JSON array of at least one text";
        return Err(Failure::new(Code::BadRequest, message).hint("use `[\"ls\", \"-l\"]`"));
    }
    let replica = api.control.find_replica(&path.group, &path.replica).await?.key;
    let (mut parts, _) = request.into_parts();
    let upgrade =
        WebSocketUpgrade::from_request_parts(&mut parts, &api).await.map_err(|refused| {
            let message = format!("not a websocket request: {}", refused.body_text());
            Failure::new(Code::BadRequest, message).hint("connect with a websocket over HTTP/1.1")
        })?;
    let session = api.runtime.exec(&replica, &query).await?;
    let end = api.end(caller);
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| run(socket, session, end)))
}

/// Carries input and output until the command, the client, its right or the server ends.
async fn run(socket: WebSocket, session: ExecSession, end: End) {
    let (mut sink, source) = socket.split();
    let last = tokio::select! {
        biased;
        reason = end.wait() => Some(ExecControl::Error(reason.unwrap_or_else(|| {
            ApiError::new(Code::Unavailable, "the node is stopping").hint("connect again later")
        }))),
        last = carry(&mut sink, source, session) => last,
    };
    let Some(last) = last else { return };
    // A client that takes nothing keeps nobody waiting.
    let _ = tokio::time::timeout(FAREWELL, close(sink, &last)).await;
}

/// Carries input and output until the command ends, and says how; or until the client is gone.
async fn carry(
    sink: &mut SplitSink<WebSocket, Message>,
    source: SplitStream<WebSocket>,
    session: ExecSession,
) -> Option<ExecControl> {
    let ExecSession { input, mut output } = session;
    let mut pump = std::pin::pin!(receive(source, input));
    loop {
        let item = tokio::select! {
            () = &mut pump => return None,
            item = tokio::time::timeout(PING, output.next()) => item,
        };
        let message = match item {
            Err(_) => Message::Ping(Bytes::new()),
            Ok(Some(ExecOutput::Stdout(data))) => output_message(1, &data),
            Ok(Some(ExecOutput::Stderr(data))) => output_message(2, &data),
            Ok(Some(ExecOutput::Exit(code))) => return Some(ExecControl::Exit(code)),
            Ok(Some(ExecOutput::Error(error))) => return Some(ExecControl::Error(error)),
            Ok(None) => {
                let error = ApiError::new(Code::Internal, "the command was lost");
                return Some(ExecControl::Error(error));
            }
        };
        sink.send(message).await.ok()?;
    }
}

/// Hands input on; returns when the client is gone.
async fn receive(mut source: SplitStream<WebSocket>, input: mpsc::Sender<ExecInput>) {
    while let Some(Ok(message)) = source.next().await {
        let item = match message {
            Message::Binary(data) if data.is_empty() => ExecInput::Eof,
            Message::Binary(data) => ExecInput::Data(data),
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(ExecControl::Resize(size)) => ExecInput::Resize(size),
                _ => continue,
            },
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        // A command that reads no input any more may still write output.
        let _ = input.send(item).await;
    }
}

async fn close(mut sink: SplitSink<WebSocket, Message>, last: &ExecControl) {
    let text = serde_json::to_string(last).expect("wire types are plain data");
    let frame = CloseFrame { code: 1000, reason: Utf8Bytes::from_static("") };
    // A client that is gone needs no good-bye.
    let _ = sink.send(Message::Text(text.into())).await;
    let _ = sink.send(Message::Close(Some(frame))).await;
}

fn output_message(stream: u8, data: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(1 + data.len());
    message.put_u8(stream);
    message.put_slice(data);
    Message::Binary(message.freeze())
}
