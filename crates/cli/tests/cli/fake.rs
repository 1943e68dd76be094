//! A control API that answers each request by a function, and a context for it.

use std::{
    io::{BufReader, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use rustls::{ServerConnection, StreamOwned};
use smr_pki::{Authority, Context, ContextStore, Role, Subject};

use crate::run::Place;

const DAY: Duration = Duration::from_hours(24);

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `GET /api/v1/nodes?stale=true`.
    pub(crate) line: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn is(&self, line: &str) -> bool {
        self.line == line
    }
}

/// Status and body.
pub(crate) type Answer = (u16, String);

pub(crate) fn ok(body: &serde_json::Value) -> Answer {
    (200, body.to_string())
}

/// One JSON document per line, and the end.
pub(crate) fn stream(items: &[serde_json::Value]) -> Answer {
    let lines = items.iter().map(|item| format!("{item}\n"));
    (200, lines.collect())
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    let hint = "do what helps";
    let error = serde_json::json!({ "code": code, "message": message, "hint": hint });
    (status, serde_json::json!({ "error": error }).to_string())
}

/// The server; what it was asked.
pub(crate) struct Fake {
    asked: Arc<Mutex<Vec<Request>>>,
    port: u16,
}

impl Fake {
    /// Starts it, and makes it the active context of the place. It lives as long as the test.
    pub(crate) fn start(
        place: &Place,
        respond: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let now = Timestamp::now();
        let authority = Authority::create(DAY, now).unwrap();
        let node = Subject::node("n1", &[], &[]).unwrap();
        let tls = smr_pki::server_config(&authority.issue(&node, DAY, now).unwrap()).unwrap();
        let user = Subject::user("me", Role::Admin).unwrap();
        let bundle = authority.issue(&user, DAY, now).unwrap().bundle();
        let listener = TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let contexts = ContextStore::open(place.home().join(".smrctl/contexts"));
        let api = format!("https://localhost:{port}");
        contexts.save(&Context::new("fake", &api, bundle).unwrap()).unwrap();
        contexts.switch("fake").unwrap();
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (log, respond) = (Arc::clone(&asked), Arc::new(respond));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&tls)).unwrap();
                let (log, respond) = (Arc::clone(&log), Arc::clone(&respond));
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
                    while let Some(request) = read(&mut stream) {
                        log.lock().unwrap().push(request.clone());
                        let (status, body) = respond(&request);
                        let head = format!("content-length: {}", body.len());
                        let text = format!("HTTP/1.1 {status} x\r\n{head}\r\n\r\n{body}");
                        let stream = stream.get_mut();
                        if stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        Self { asked, port }
    }

    /// Request lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|request| request.line.clone()).collect()
    }

    /// Without what differs from run to run.
    pub(crate) fn clean(&self, text: &str) -> String {
        text.replace(&format!("localhost:{}", self.port), "FAKE")
    }
}

fn read(stream: &mut impl std::io::BufRead) -> Option<Request> {
    let mut first = String::new();
    stream.read_line(&mut first).ok().filter(|length| *length > 0)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let line = first.trim().trim_end_matches(" HTTP/1.1").to_owned();
    Some(Request { line, body: String::from_utf8_lossy(&body).into_owned() })
}
