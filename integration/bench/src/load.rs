//! Runs writers at once and measures them.

use std::time::{Duration, Instant};

/// What a run of writers achieved.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Acknowledged writes per second.
    pub per_second: f64,
    /// Median latency.
    pub p50: Duration,
    /// Latency that one write in a hundred exceeds.
    pub p99: Duration,
}

/// Runs `writers` tasks for `time`; each calls `write` again and again with its number and a counter.
pub async fn run<W, F>(writers: usize, time: Duration, write: W) -> anyhow::Result<Figures>
where
    W: Fn(usize, u64) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let write = write.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut count = 0;
                while start.elapsed() < time {
                    let begin = Instant::now();
                    write(writer, count).await?;
                    latencies.push(begin.elapsed());
                    count += 1;
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(figures(latencies, start.elapsed()))
}

/// Sums up latencies measured over `elapsed`.
pub fn figures(mut latencies: Vec<Duration>, elapsed: Duration) -> Figures {
    latencies.sort_unstable();
    let at = |share: f64| {
        let index =
            ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).copied().unwrap_or_default()
    };
    Figures {
        per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
        p50: at(0.50),
        p99: at(0.99),
    }
}

/// The figures with the median rate.
pub fn median(mut rounds: Vec<Figures>) -> Option<Figures> {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rounds.get(rounds.len() / 2).copied()
}
