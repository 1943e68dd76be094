//! An engine's socket with answers written by hand.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

/// A request as it came in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// Method and path with query.
    pub(crate) line: String,
    /// Lower-case names.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What the engine says; `None` is silence for ever.
pub(crate) type Answer = Option<(u16, String)>;
type Script = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// Listens until dropped.
pub(crate) struct Fake {
    pub(crate) path: PathBuf,
    seen: Arc<Mutex<(usize, Vec<Request>)>>,
    task: JoinHandle<()>,
}

impl Fake {
    pub(crate) fn start(
        path: PathBuf,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let seen = Arc::new(Mutex::new((0, Vec::new())));
        let (log, script): (_, Script) = (Arc::clone(&seen), Arc::new(answer));
        let task = tokio::spawn(async move {
            // Connections end with the listener, as with a process that ends.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                log.lock().unwrap().0 += 1;
                connections.spawn(serve(stream, Arc::clone(&log), Arc::clone(&script)));
            }
        });
        Self { path, seen, task }
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().0
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().1.clone()
    }

    /// Ends as a process does: its connections are closed when this returns.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: UnixStream, log: Arc<Mutex<(usize, Vec<Request>)>>, script: Script) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        log.lock().unwrap().1.push(request.clone());
        let Some((status, body)) = script(&request) else {
            std::future::pending::<()>().await;
            return;
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n");
        let answer = match status {
            204 => format!("{head}\r\n"),
            _ => format!("{head}Content-Length: {length}\r\n\r\n{body}"),
        };
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<UnixStream>) -> Option<Request> {
    let mut request = Request::default();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some((name, value)) if !request.line.is_empty() => {
                request.headers.push((name.to_lowercase(), value.to_owned()));
            }
            _ => request.line = line.trim_end_matches(" HTTP/1.1").to_owned(),
        }
    }
    let length = request.headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Some(request)
}
