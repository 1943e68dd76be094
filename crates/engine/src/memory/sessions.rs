//! Output, commands and events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use tokio::sync::mpsc;

use super::{MemoryEngine, Program, world::Subscriber};
use crate::{
    engine::{ExecControl, ExecSession},
    error::Error,
    types::{Channel, Chunk, EngineEvent, ExecOutcome, ExecRequest, LogRequest, TerminalSize},
};

impl MemoryEngine {
    /// What a command does in a container.
    fn program_of(&self, id_or_name: &str, command: &[String]) -> Result<Program, Error> {
        let world = self.world();
        let id = world.resolve(id_or_name).ok_or_else(|| Self::not_found(id_or_name))?;
        let cell = &world.containers[&id];
        if !cell.container.is_running() {
            return Err(Error::Other {
                operation: format!("run a command in container `{id_or_name}`"),
                source: "the container does not run".into(),
            });
        }
        let arranged = command.first().and_then(|word| world.programs.get(word)).cloned();
        let known = arranged.or_else(|| Program::from_command(command, &cell.spec.files));
        Ok(known.unwrap_or_else(|| Program::ends(Duration::ZERO, 127)))
    }

    pub(super) async fn run_check(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutcome, Error> {
        let program = self.program_of(id, command)?;
        let bytes: Vec<u8> = program.output.iter().flat_map(|c| c.bytes.to_vec()).collect();
        let output = String::from_utf8_lossy(&bytes).into_owned();
        let timed_out = program.lasts.is_none_or(|lasts| lasts > timeout);
        tokio::time::sleep(program.lasts.unwrap_or(timeout).min(timeout)).await;
        let exit_code = if timed_out { 124 } else { program.exit_code };
        Ok(ExecOutcome { exit_code, timed_out, output })
    }

    pub(super) fn run_interactively(
        &self,
        id: &str,
        request: ExecRequest,
    ) -> Result<ExecSession, Error> {
        let (input, mut typed) = mpsc::channel::<Bytes>(16);
        let (sender, output) = mpsc::unbounded_channel();
        let exit_code = Arc::new(AtomicI64::new(0));
        // A shell or filter without more to do repeats its input.
        let echoes = request.stdin
            && matches!(request.command.as_slice(), [word] if word == "cat" || word == "sh");
        if echoes {
            self.program_of(id, &["true".to_owned()])?;
            tokio::spawn(async move {
                while let Some(bytes) = typed.recv().await {
                    if sender.send(Ok(Chunk { channel: Channel::Stdout, bytes })).is_err() {
                        return;
                    }
                }
            });
        } else {
            let program = self.program_of(id, &request.command)?;
            exit_code.store(program.exit_code, Ordering::Relaxed);
            tokio::spawn(async move {
                for chunk in program.output {
                    if sender.send(Ok(chunk)).is_err() {
                        return;
                    }
                }
                match program.lasts {
                    Some(lasts) => tokio::time::sleep(lasts).await,
                    None => sender.closed().await,
                }
            });
        }
        Ok(ExecSession { input, output: receive(output), control: Box::new(Control(exit_code)) })
    }

    pub(super) fn read_logs(
        &self,
        id_or_name: &str,
        request: LogRequest,
    ) -> Result<BoxStream<'static, Result<Chunk, Error>>, Error> {
        let container = self.container(id_or_name).ok_or_else(|| Self::not_found(id_or_name))?;
        let mut lines = self.lines(&container.id, 0, request);
        let seen = self.lines(&container.id, 0, LogRequest::default()).len();
        if let Some(tail) = request.tail {
            lines.drain(..lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX)));
        }
        let past = stream::iter(lines.into_iter().map(Ok));
        if !request.follow {
            return Ok(past.boxed());
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let (engine, id) = (self.clone(), container.id);
        let mut changes = self.world().version.subscribe();
        tokio::spawn(async move {
            let mut seen = seen;
            loop {
                let running = engine.container(&id).is_some_and(|c| c.is_running());
                for chunk in engine.lines(&id, seen, LogRequest { tail: None, ..request }) {
                    seen += 1;
                    if sender.send(Ok(chunk)).is_err() {
                        return;
                    }
                }
                if !running {
                    return;
                }
                tokio::select! {
                    _ = changes.changed() => {}
                    () = sender.closed() => return,
                }
            }
        });
        Ok(past.chain(receive(receiver)).boxed())
    }

    fn lines(&self, id: &str, skip: usize, request: LogRequest) -> Vec<Chunk> {
        let world = self.world();
        let logs = world.containers.get(id).map(|cell| cell.logs.as_slice()).unwrap_or_default();
        logs.iter()
            .skip(skip)
            .filter(|(time, _)| request.since.is_none_or(|since| *time >= since))
            .map(|(time, chunk)| {
                let mut chunk = chunk.clone();
                if request.timestamps {
                    let text = String::from_utf8_lossy(&chunk.bytes);
                    chunk.bytes = format!("{time} {text}").into();
                }
                chunk
            })
            .collect()
    }

    /// Writes to a container's output, as its main process would.
    pub fn write_log(&self, id_or_name: &str, channel: Channel, text: &str) {
        let mut world = self.world();
        let now = world.now();
        let Some(id) = world.resolve(id_or_name) else { return };
        if let Some(cell) = world.containers.get_mut(&id) {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            cell.logs.push((now, Chunk { channel, bytes }));
        }
        world.touch();
    }

    pub(super) fn subscribe(&self) -> BoxStream<'static, Result<EngineEvent, Error>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.world().subscribers.push(Subscriber { owner: self.owner.clone(), sender });
        receive(receiver).map(Ok).boxed()
    }
}

fn receive<T: Send + 'static>(receiver: mpsc::UnboundedReceiver<T>) -> BoxStream<'static, T> {
    let next = |mut receiver: mpsc::UnboundedReceiver<T>| async move {
        let item = receiver.recv().await?;
        Some((item, receiver))
    };
    stream::unfold(receiver, next).boxed()
}

struct Control(Arc<AtomicI64>);

impl ExecControl for Control {
    fn resize(&self, _size: TerminalSize) -> BoxFuture<'_, Result<(), Error>> {
        std::future::ready(Ok(())).boxed()
    }

    fn exit_code(&self) -> BoxFuture<'_, Result<i64, Error>> {
        std::future::ready(Ok(self.0.load(Ordering::Relaxed))).boxed()
    }
}
