//! Readiness and liveness checks, made from the node.

use std::{net::IpAddr, time::Duration};

use smr_engine::{Container, ContainerEngine, ErrorClass};
use smr_model::spec::HttpMethod;
use smr_reconcile::{Outcome, Probe, ProbeCheck, Problem, ProblemKind};
use tokio::{net::TcpStream, time::Instant};

use crate::seen::{chain, problem};

/// First pause between two attempts, and how it grows (spec 4.4).
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// One attempt of a readiness check never takes longer.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Why a check did not succeed this time.
enum Miss {
    /// The replica is not ready; try again.
    NotYet(String),
    /// It cannot become ready: the container has ended, or the engine is away.
    Over(Problem),
}

/// Makes the checks one after the other, each repeated until it succeeds or its time is over.
pub(crate) async fn readiness(engine: &dyn ContainerEngine, id: &str, probes: &[Probe]) -> Outcome {
    for probe in probes {
        let deadline = Instant::now() + probe.timeout;
        let mut pause = FIRST_PAUSE;
        let mut last = "was not answered".to_owned();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return failed("ReadinessFailed", "readiness", probe, &last);
            }
            match attempt(engine, id, probe, left.min(ATTEMPT)).await {
                Ok(()) => break,
                Err(Miss::Over(problem)) => return Outcome::Failed(problem),
                Err(Miss::NotYet(why)) => last = why,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            tokio::time::sleep(pause.min(left)).await;
            pause = pause.mul_f64(1.5).min(LAST_PAUSE);
        }
    }
    Outcome::Done
}

/// Makes each check once.
pub(crate) async fn liveness(engine: &dyn ContainerEngine, id: &str, probes: &[Probe]) -> Outcome {
    for probe in probes {
        match attempt(engine, id, probe, probe.timeout).await {
            Ok(()) => {}
            Err(Miss::Over(problem)) => return Outcome::Failed(problem),
            Err(Miss::NotYet(why)) => return failed("LivenessFailed", "liveness", probe, &why),
        }
    }
    Outcome::Done
}

fn failed(code: &str, what: &str, probe: &Probe, why: &str) -> Outcome {
    let message =
        format!("{what} check `{}` did not succeed within {:?}: {why}", probe.name, probe.timeout);
    Outcome::Failed(Problem { kind: ProblemKind::CheckFailed, code: code.to_owned(), message })
}

async fn attempt(
    engine: &dyn ContainerEngine,
    id: &str,
    probe: &Probe,
    limit: Duration,
) -> Result<(), Miss> {
    match &probe.check {
        ProbeCheck::Command(command) => run_command(engine, id, command, limit).await,
        ProbeCheck::Tcp(port) => {
            let address = address(engine, id).await?;
            match tokio::time::timeout(limit, TcpStream::connect((address, *port))).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(Miss::NotYet(format!("port {port}: {error}"))),
                Err(_) => Err(Miss::NotYet(format!("port {port} does not answer"))),
            }
        }
        ProbeCheck::Url { url, method, body } => {
            let url = url_of_container(engine, id, url).await?;
            // Addresses may carry what templates put into them: only the status is told.
            ask(&url, *method, body, limit).await.map_err(Miss::NotYet)
        }
    }
}

async fn run_command(
    engine: &dyn ContainerEngine,
    id: &str,
    command: &[String],
    limit: Duration,
) -> Result<(), Miss> {
    match engine.exec_check(id, command, limit).await {
        Ok(outcome) if outcome.timed_out => {
            Err(Miss::NotYet(format!("command did not end within {limit:?}")))
        }
        Ok(outcome) if outcome.exit_code == 0 => Ok(()),
        // What the command prints may repeat its arguments, and they may be secret.
        Ok(outcome) => Err(Miss::NotYet(format!("command ended with {}", outcome.exit_code))),
        Err(error) => Err(match error.class() {
            ErrorClass::Unavailable | ErrorClass::NotFound | ErrorClass::Conflict => {
                Miss::Over(Problem { kind: ProblemKind::NotFound, ..problem(&error) })
            }
            _ => Miss::NotYet(chain(&error)),
        }),
    }
}

/// The container's address as seen from the node; loopback for one in the node's own network.
async fn address(engine: &dyn ContainerEngine, id: &str) -> Result<IpAddr, Miss> {
    let gone = |message: String| {
        Miss::Over(Problem { kind: ProblemKind::NotFound, code: "NotFound".to_owned(), message })
    };
    match engine.inspect(id).await {
        Ok(Some(container)) if container.is_running() => Ok(node_side_address(&container)),
        Ok(_) => Err(gone("the container does not run".to_owned())),
        Err(error) => Err(Miss::Over(problem(&error))),
    }
}

fn node_side_address(container: &Container) -> IpAddr {
    let bridge = container.addresses.get("bridge");
    let any = bridge.or_else(|| container.addresses.values().next());
    any.copied().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
}

/// `localhost` and names only the cluster knows mean the container.
async fn url_of_container(
    engine: &dyn ContainerEngine,
    id: &str,
    url: &str,
) -> Result<reqwest::Url, Miss> {
    let mut url: reqwest::Url =
        url.parse().map_err(|_| Miss::NotYet("the check's `url` is not an address".to_owned()))?;
    let host = url.host_str().unwrap_or_default();
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".private") {
        let address = address(engine, id).await?;
        if url.set_ip_host(address).is_err() {
            return Err(Miss::NotYet("the check's `url` cannot carry an address".to_owned()));
        }
    }
    Ok(url)
}

async fn ask(
    url: &reqwest::Url,
    method: HttpMethod,
    body: &std::collections::BTreeMap<String, String>,
    limit: Duration,
) -> Result<(), String> {
    let client = reqwest::Client::builder()
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        // Checks go to containers by address; their certificates are not made for that.
        .tls_danger_accept_invalid_certs(true)
        .tls_certs_only(std::iter::empty())
        .no_proxy()
        .build()
        .map_err(|error| chain(&error.without_url()))?;
    let mut request = match method {
        HttpMethod::Get => client.get(url.clone()),
        HttpMethod::Post => client.post(url.clone()),
    };
    if !body.is_empty() {
        request = request.json(body);
    }
    let response = request.send().await.map_err(|error| chain(&error.without_url()))?;
    let status = response.status();
    if status.is_success() { Ok(()) } else { Err(format!("answered with status {status}")) }
}
