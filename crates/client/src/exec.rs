//! Commands in containers, over a websocket.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{BoxStream, SplitSink, SplitStream},
};
use smr_wire::{ExecControl, ExecQuery, Resize, routes};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};

use crate::{
    Client, Error, LogSource,
    api::replica_path,
    connection::refusal,
    error::{Cause, transport},
};

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A running command.
pub struct Exec {
    url: String,
    input: ExecInput,
    messages: SplitStream<Socket>,
}

/// The sending side of a running command.
pub struct ExecInput {
    url: String,
    sink: SplitSink<Socket, Message>,
}

/// What a running command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecOutput {
    /// It wrote something.
    Bytes(LogSource, Bytes),
    /// It ended with this code; nothing follows.
    Exit(i64),
}

impl Client {
    /// Runs a command in the container of a replica.
    ///
    /// # Errors
    /// [`Error::Api`] when the cluster refuses; the rest when it cannot be reached.
    pub async fn exec(&self, group: &str, replica: &str, query: &ExecQuery) -> Result<Exec, Error> {
        let options = self.options();
        tokio::time::timeout(options.answer, self.start_exec(group, replica, query))
            .await
            .map_err(|_| Error::Timeout { url: self.url().to_owned(), after: options.answer })?
    }

    async fn start_exec(
        &self,
        group: &str,
        replica: &str,
        query: &ExecQuery,
    ) -> Result<Exec, Error> {
        let path = replica_path(routes::EXEC, group, replica);
        // Only to have the query encoded by the same code as all others.
        let url = self.request(http::Method::GET, &path).query(query).build();
        let url = url.map_err(|err| self.failure(err))?.url().clone();
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let unreachable = |err: Cause| transport(self.url(), err, true);
        let tcp = tokio::time::timeout(self.options().connect, TcpStream::connect((&*host, port)))
            .await
            .map_err(|err| unreachable(err.into()))?
            .map_err(|err| unreachable(err.into()))?;
        let _ = tcp.set_nodelay(true);
        let name = ServerName::try_from(host).map_err(|err| unreachable(err.into()))?;
        let connector = TlsConnector::from(self.tls());
        let tls = connector.connect(name, tcp).await.map_err(|err| unreachable(err.into()))?;
        let address = url.as_str().replacen("https://", "wss://", 1);
        let request = address.into_client_request().map_err(|err| unreachable(err.into()))?;
        match tokio_tungstenite::client_async(request, tls).await {
            Ok((socket, _)) => {
                let (sink, messages) = socket.split();
                let url = self.url().to_owned();
                Ok(Exec { input: ExecInput { url: url.clone(), sink }, messages, url })
            }
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err(refusal(routes::EXEC, response.status().as_u16(), body))
            }
            Err(err) => Err(transport(self.url(), Box::new(err), false)),
        }
    }
}

impl Exec {
    /// Takes the sides apart, so that input and output can run at the same time.
    pub fn split(self) -> (ExecInput, BoxStream<'static, Result<ExecOutput, Error>>) {
        let url: Arc<str> = self.url.into();
        let state = Some((self.messages, url));
        let output = futures_util::stream::unfold(state, |state| async move {
            let (mut messages, url) = state?;
            loop {
                let item = match messages.next().await {
                    Some(Ok(message)) => read(message, &url),
                    Some(Err(err)) => Some(Err(transport(&url, Box::new(err), false))),
                    None => Some(Err(lost(&url))),
                };
                let Some(item) = item else { continue };
                let goes_on = matches!(item, Ok(ExecOutput::Bytes(..)));
                return Some((item, goes_on.then_some((messages, url))));
            }
        });
        (self.input, output.boxed())
    }
}

/// One message; `None` for those that say nothing (pings).
fn read(message: Message, url: &str) -> Option<Result<ExecOutput, Error>> {
    let protocol = |what: String| Error::Protocol { url: routes::EXEC.to_owned(), what };
    match message {
        Message::Binary(bytes) => {
            let source = match bytes.first() {
                Some(1) => LogSource::Stdout,
                Some(2) => LogSource::Stderr,
                Some(other) => return Some(Err(protocol(format!("output stream {other}")))),
                None => return None,
            };
            Some(Ok(ExecOutput::Bytes(source, bytes.slice(1..))))
        }
        Message::Text(text) => match serde_json::from_str(&text) {
            Ok(ExecControl::Exit(code)) => Some(Ok(ExecOutput::Exit(code))),
            Ok(ExecControl::Error(err)) => Some(Err(err.into())),
            Ok(ExecControl::Resize(_)) => None,
            Err(err) => Some(Err(protocol(format!("bad message, {err}")))),
        },
        Message::Close(_) => Some(Err(lost(url))),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
    }
}

fn lost(url: &str) -> Error {
    let source = std::io::Error::new(
        std::io::ErrorKind::UnexpectedEof,
        "it was closed before the command ended",
    );
    Error::Lost { url: url.to_owned(), source: source.into() }
}

impl ExecInput {
    /// Sends input; nothing is sent for an empty piece.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.send(Message::Binary(bytes)).await
    }

    /// Ends the input.
    pub async fn end(&mut self) -> Result<(), Error> {
        self.send(Message::Binary(Bytes::new())).await
    }

    /// Tells the size of the terminal.
    pub async fn resize(&mut self, width: u16, height: u16) -> Result<(), Error> {
        let control = ExecControl::Resize(Resize { width, height });
        let text = serde_json::to_string(&control).expect("numbers are JSON");
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.sink.send(message).await.map_err(|err| transport(&self.url, Box::new(err), false))
    }
}
