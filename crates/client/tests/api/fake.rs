//! A TLS server that answers each request by a function.

use std::{future::Future, net::TcpListener as StdListener, sync::Arc, time::Duration};

use jiff::Timestamp;
use smr_client::{Client, Options};
use smr_pki::{Authority, Credentials, Role, Subject};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::WebSocketStream;

const DAY: Duration = Duration::from_hours(24);

/// A cluster's authority.
pub(crate) struct World {
    authority: Authority,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { authority: Authority::create(DAY, Timestamp::now()).unwrap() }
    }

    fn user(&self) -> Credentials {
        let subject = Subject::user("me", Role::Admin).unwrap();
        self.authority.issue(&subject, DAY, Timestamp::now()).unwrap()
    }

    pub(crate) fn client(&self, port: u16) -> Client {
        self.client_with(port, Options::default())
    }

    pub(crate) fn client_with(&self, port: u16, options: Options) -> Client {
        let url = format!("https://localhost:{port}");
        Client::with_credentials(&url, &self.user(), options).unwrap()
    }

    /// Trusts this world's server and shows a certificate of another world.
    pub(crate) fn client_with_certificate_of(&self, other: &World, port: u16) -> Client {
        use smr_pki::ExposeSecret as _;
        let bundle = other.user().bundle().expose_secret().to_owned();
        let own = self.authority.certificate_pem();
        let theirs = other.authority.certificate_pem();
        let mixed = bundle.replace(theirs.trim(), own.trim());
        let url = format!("https://localhost:{port}");
        match Credentials::from_bundle(&mixed, "the test") {
            Ok(credentials) => {
                Client::with_credentials(&url, &credentials, Options::default()).unwrap()
            }
            // Bundles that do not fit together are refused even before.
            Err(_) => other.client(port),
        }
    }
}

pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) body: String,
}

/// What is sent, in pieces; whether the connection then stays open, and is cut.
pub(crate) struct Answer {
    pieces: Vec<Vec<u8>>,
    stays: bool,
}

pub(crate) fn answer(status: u16, body: &str) -> Answer {
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
    Answer { pieces: vec![(head + body).into_bytes()], stays: false }
}

pub(crate) fn ok(body: &str) -> Answer {
    answer(200, body)
}

/// A chunked body; without its end if `cut`.
pub(crate) fn stream(pieces: &[&str], cut: bool) -> Answer {
    let mut sent = vec![b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()];
    for piece in pieces {
        sent.push(format!("{:x}\r\n{piece}\r\n", piece.len()).into_bytes());
    }
    if !cut {
        sent.push(b"0\r\n\r\n".to_vec());
    }
    Answer { pieces: sent, stays: false }
}

pub(crate) fn never() -> Answer {
    Answer { pieces: Vec::new(), stays: true }
}

pub(crate) fn unused_port() -> u16 {
    StdListener::bind("localhost:0").unwrap().local_addr().unwrap().port()
}

pub(crate) struct Fake {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(crate) async fn start(
        world: &World,
        respond: impl Fn(Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let respond = Arc::new(respond);
        Self::serve(world, move |mut stream| {
            let respond = respond.clone();
            async move {
                while let Some(request) = read(&mut stream).await {
                    let answer = respond(request);
                    for piece in answer.pieces {
                        stream.write_all(&piece).await.unwrap();
                        stream.flush().await.unwrap();
                    }
                    if answer.stays {
                        std::future::pending::<()>().await;
                    }
                    let _ = stream.shutdown().await;
                }
            }
        })
        .await
    }

    pub(crate) async fn start_websocket<F: Future<Output = ()> + Send>(
        world: &World,
        talk: impl Fn(WebSocketStream<TlsStream<TcpStream>>) -> F + Send + Sync + 'static,
    ) -> Self {
        let talk = Arc::new(talk);
        Self::serve(world, move |stream| {
            let talk = talk.clone();
            async move { talk(tokio_tungstenite::accept_async(stream).await.unwrap()).await }
        })
        .await
    }

    async fn serve<F: Future<Output = ()> + Send>(
        world: &World,
        handle: impl Fn(TlsStream<TcpStream>) -> F + Send + Sync + 'static,
    ) -> Self {
        let subject = Subject::node("n1", &[], &[]).unwrap();
        let node = world.authority.issue(&subject, DAY, Timestamp::now()).unwrap();
        let acceptor = TlsAcceptor::from(smr_pki::server_config(&node).unwrap());
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let handle = Arc::new(handle);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, handle) = (acceptor.clone(), handle.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        handle(stream).await;
                    }
                });
            }
        });
        Self { port, task }
    }
}

async fn read(stream: &mut TlsStream<TcpStream>) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    });
    while bytes.len() < head + length.unwrap_or(0) {
        stream.read_buf(&mut bytes).await.ok()?;
    }
    let line = text.lines().next().unwrap_or_default().to_owned();
    Some(Request { line, body: String::from_utf8_lossy(&bytes[head..]).into_owned() })
}
