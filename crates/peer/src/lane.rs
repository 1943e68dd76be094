//! One connection that is kept: made when it is needed, made again when it has ended, and not
//! tried too often while the other side is away.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{sync::watch, time::Instant};

use crate::{Body, PeerError, alert::Gauge, dial::Target, error::Alert, protocol::H2};

/// First pause after a failure; doubled with each further one.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);
/// Bytes that may be on their way per request.
const STREAM_WINDOW: u32 = 4 << 20;
/// Bytes that may be on their way per connection.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// How long silence is borne. Pings travel behind what is being sent, so a connection for much has
/// to bear more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// A quiet connection is asked this often whether the other side is there.
    interval: Duration,
    /// It is given up after this long without an answer.
    timeout: Duration,
}

impl Patience {
    /// For short messages that somebody waits for.
    pub(crate) const SHORT: Self =
        Self { interval: Duration::from_secs(1), timeout: Duration::from_secs(2) };
    /// For whatever takes long.
    pub(crate) const LONG: Self =
        Self { interval: Duration::from_secs(10), timeout: Duration::from_secs(20) };
}

/// The connection.
pub(crate) struct Lane {
    patience: Patience,
    state: Mutex<State>,
}

struct State {
    /// Counts connections; what an older one still has to say changes nothing.
    serial: u64,
    failures: u32,
    phase: Phase,
}

enum Phase {
    Idle,
    Connecting(watch::Receiver<Option<Result<Link, PeerError>>>),
    Open(Link),
    Pausing { until: Instant, error: PeerError },
}

/// A connection that is open.
#[derive(Clone)]
pub(crate) struct Link {
    sender: SendRequest<Body>,
    gauge: Arc<Gauge>,
    /// Whether anything was ever answered on it.
    proven: Arc<AtomicBool>,
    serial: u64,
}

impl Lane {
    pub(crate) fn new(patience: Patience) -> Self {
        let state = State { serial: 0, failures: 0, phase: Phase::Idle };
        Self { patience, state: Mutex::new(state) }
    }

    /// Sends a request and waits for the head of the answer, without a deadline.
    pub(crate) async fn send(
        self: &Arc<Self>,
        target: &Target,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, PeerError> {
        let mut request = request;
        let mut is_second = false;
        loop {
            let mut link = self.link(target).await?;
            let mut error = match link.sender.try_send_request(request).await {
                Ok(response) => {
                    self.prove(&link);
                    return Ok(response);
                }
                Err(error) => error,
            };
            match error.take_message() {
                // The connection ended while it was idle, and nothing was sent.
                Some(unsent) if !is_second && link.proven.load(Relaxed) => request = unsent,
                _ => return Err(link.failure(target.id, error.into_error())),
            }
            is_second = true;
        }
    }

    /// Whether it is open.
    pub(crate) fn is_open(&self) -> bool {
        matches!(&self.state().phase, Phase::Open(link) if !link.sender.is_closed())
    }

    /// Ends a pause: the other side was heard of.
    pub(crate) fn wake(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Pausing { .. }) {
            state.failures = 0;
            state.phase = Phase::Idle;
        }
    }

    /// Takes no request any more on the connection that is open: it was made with a certificate that has
    /// ended meanwhile, and the next one is made with the present one.
    pub(crate) fn renew(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Open(_)) {
            state.phase = Phase::Idle;
        }
    }

    async fn link(self: &Arc<Self>, target: &Target) -> Result<Link, PeerError> {
        let mut connecting = {
            let mut state = self.state();
            match &state.phase {
                Phase::Open(link)
                    if !link.sender.is_closed() && !target.is_revoked(&link.gauge) =>
                {
                    return Ok(link.clone());
                }
                Phase::Pausing { until, error } if Instant::now() < *until => {
                    return Err(error.clone());
                }
                Phase::Connecting(result) => result.clone(),
                Phase::Idle | Phase::Open(_) | Phase::Pausing { .. } => {
                    self.connect(&mut state, target.clone())
                }
            }
        };
        let result = connecting.wait_for(Option::is_some).await;
        match result.as_deref() {
            Ok(Some(result)) => result.clone(),
            // The task is gone, which happens when the runtime ends.
            Ok(None) | Err(_) => Err(target.unreachable(std::io::Error::other("shutting down"))),
        }
    }

    /// Connects in a task of its own: a caller that gives up does not stop it for the others.
    fn connect(
        self: &Arc<Self>,
        state: &mut State,
        target: Target,
    ) -> watch::Receiver<Option<Result<Link, PeerError>>> {
        let (done, result) = watch::channel(None);
        state.serial += 1;
        let serial = state.serial;
        state.phase = Phase::Connecting(result.clone());
        let lane = self.clone();
        tokio::spawn(async move {
            let connected = open(&target, serial, &lane).await;
            {
                let mut state = lane.state();
                if state.serial == serial {
                    match &connected {
                        Ok(link) => state.phase = Phase::Open(link.clone()),
                        Err(error) => state.pause(error.clone()),
                    }
                }
            }
            done.send_replace(Some(connected));
        });
        result
    }

    fn prove(&self, link: &Link) {
        if link.proven.swap(true, Relaxed) {
            return;
        }
        let mut state = self.state();
        if state.serial == link.serial {
            state.failures = 0;
        }
    }

    /// A connection has ended. One that never answered anything counts as a failure, otherwise a
    /// node that hangs up on us would be called without a pause.
    fn ended(&self, serial: u64, error: Option<PeerError>) {
        let mut state = self.state();
        if state.serial != serial {
            return;
        }
        match error {
            Some(error) => state.pause(error),
            None => state.phase = Phase::Idle,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pause(&mut self, error: PeerError) {
        let pause = PAUSE.saturating_mul(1 << self.failures.min(6)).min(LONGEST_PAUSE);
        self.failures += 1;
        self.phase = Phase::Pausing { until: Instant::now() + pause, error };
    }
}

impl Link {
    fn failure(&self, target: u64, error: hyper::Error) -> PeerError {
        // Once anything was answered, the certificate was accepted.
        if self.proven.load(Relaxed) {
            PeerError::Broken { target, source: Arc::new(error) }
        } else {
            failure(&self.gauge, target, error)
        }
    }
}

pub(crate) fn failure(gauge: &Gauge, target: u64, error: hyper::Error) -> PeerError {
    match gauge.alert.get() {
        Some(alert) => PeerError::Rejected { target, alert: Alert(*alert) },
        None => PeerError::Broken { target, source: Arc::new(error) },
    }
}

async fn open(target: &Target, serial: u64, lane: &Arc<Lane>) -> Result<Link, PeerError> {
    let (stream, gauge) = target.dial(H2).await?;
    let (sender, connection) = http(lane.patience)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure(&gauge, target.id, error))?;
    let proven = Arc::new(AtomicBool::new(false));
    let link = Link { sender, gauge: gauge.clone(), proven: proven.clone(), serial };
    let target = target.clone();
    let lane = Arc::downgrade(lane);
    // Weak: the lane holds the sender, and the connection lives as long as a sender does.
    tokio::spawn(async move {
        let ended = connection.await;
        if let Err(error) = &ended {
            tracing::debug!(peer.id = target.id, %error, "connection to a peer ended");
        }
        let error = match ended {
            _ if proven.load(Relaxed) => None,
            Err(error) => Some(failure(&gauge, target.id, error)),
            Ok(()) => Some(target.unreachable(std::io::Error::other("it hung up"))),
        };
        if let Some(lane) = lane.upgrade() {
            lane.ended(serial, error);
        }
    });
    Ok(link)
}

fn http(patience: Patience) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(1 << 20)
        .keep_alive_interval(patience.interval)
        .keep_alive_timeout(patience.timeout)
        .keep_alive_while_idle(true);
    http
}
