//! Commands in containers.

use std::{sync::Arc, time::Duration};

use bollard::{
    container::LogOutput,
    exec::{StartExecOptions, StartExecResults},
    models::ExecConfig,
    query_parameters::ResizeExecOptionsBuilder,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use tokio::{io::AsyncWriteExt, sync::mpsc};

use super::{
    DockerEngine,
    client::{Api, Endpoint},
    failure::{Task, classify},
};
use crate::{
    engine::{ExecControl, ExecSession},
    error::Error,
    reference::is_name,
    types::{Channel, Chunk, EXEC_OUTPUT_LIMIT, ExecOutcome, ExecRequest, TerminalSize},
};

/// Exit code reported for a command that did not end in time, as `timeout` does.
const TIMED_OUT: i64 = 124;

pub(super) fn chunk(output: LogOutput) -> Chunk {
    let channel = match output {
        LogOutput::StdErr { .. } => Channel::Stderr,
        _ => Channel::Stdout,
    };
    Chunk { channel, bytes: output.into_bytes() }
}

impl DockerEngine {
    pub(super) async fn run_check(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutcome, Error> {
        let task = Task::container("run a check in", id);
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..Default::default()
        };
        let (api, exec_id) = self.create_exec(&task, id, config).await?;
        let StartExecResults::Attached { output: mut chunks, .. } =
            self.start_exec(&task, &api, &exec_id, false).await?
        else {
            return Err(task.other("the engine did not attach"));
        };
        let mut output = Vec::new();
        let read = async {
            while let Some(item) = chunks.next().await {
                let bytes = item.map_err(|e| self.classify(&task, e))?.into_bytes();
                output.extend_from_slice(&bytes);
                if output.len() > 2 * EXEC_OUTPUT_LIMIT {
                    output.drain(..output.len() - EXEC_OUTPUT_LIMIT);
                }
            }
            Ok::<(), Error>(())
        };
        let timed_out = match tokio::time::timeout(timeout, read).await {
            Ok(result) => result.map(|()| false)?,
            Err(_) => true,
        };
        let exit_code = if timed_out {
            TIMED_OUT
        } else {
            exit_code(&self.connection.endpoint, &task, &api, &exec_id, self.connection.limits.read)
                .await?
        };
        output.drain(..output.len().saturating_sub(EXEC_OUTPUT_LIMIT));
        let output = String::from_utf8_lossy(&output).into_owned();
        Ok(ExecOutcome { exit_code, timed_out, output })
    }

    pub(super) async fn run_interactively(
        &self,
        id: &str,
        request: ExecRequest,
    ) -> Result<ExecSession, Error> {
        let task = Task::container("run a command in", id);
        let config = ExecConfig {
            attach_stdin: Some(request.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(request.tty),
            env: (!request.env.is_empty()).then_some(request.env),
            cmd: Some(request.command),
            user: request.user,
            working_dir: request.working_dir,
            ..Default::default()
        };
        let (api, exec_id) = self.create_exec(&task, id, config).await?;
        let StartExecResults::Attached { output, input } =
            self.start_exec(&task, &api, &exec_id, request.tty).await?
        else {
            return Err(task.other("the engine did not attach"));
        };
        let endpoint = self.connection.endpoint.clone();
        let control = Control {
            api,
            exec_id,
            task: task.clone(),
            endpoint: endpoint.clone(),
            limit: self.connection.limits.read,
        };
        if let (true, Some(size)) = (request.tty, request.size) {
            // The command may have ended already, which is no failure.
            if let Err(error) = control.resize(size).await {
                tracing::debug!(%error, "terminal keeps its default size");
            }
        }
        let output =
            output.map(move |item| item.map(chunk).map_err(|e| classify(&endpoint, &task, e)));
        let (sender, receiver) = mpsc::channel(16);
        if request.stdin {
            tokio::spawn(feed(receiver, input));
        }
        Ok(ExecSession { input: sender, output: output.boxed(), control: Box::new(control) })
    }

    async fn create_exec(
        &self,
        task: &Task,
        id: &str,
        config: ExecConfig,
    ) -> Result<(Arc<Api>, String), Error> {
        if !is_name(id) {
            return Err(task.refused("not a container name"));
        }
        self.connection
            .call(task, self.connection.limits.read, |api| {
                let config = config.clone();
                async move {
                    let id = api.docker.create_exec(id, config).await?.id;
                    Ok((api, id))
                }
            })
            .await
    }

    async fn start_exec(
        &self,
        task: &Task,
        api: &Api,
        exec_id: &str,
        tty: bool,
    ) -> Result<StartExecResults, Error> {
        let limit = self.connection.limits.read;
        let options = StartExecOptions { detach: false, tty, output_capacity: None };
        let start = api.docker.start_exec(exec_id, Some(options));
        let result = tokio::time::timeout(limit, start).await;
        result.map_err(|_| task.timeout(limit))?.map_err(|e| self.classify(task, e))
    }
}

/// Writes what arrives to the command until there is no more, then closes its input.
async fn feed(
    mut receiver: mpsc::Receiver<bytes::Bytes>,
    mut input: std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>,
) {
    while let Some(bytes) = receiver.recv().await {
        if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
    // The command may have ended before its input did.
    let _ = input.shutdown().await;
}

/// The exit code of a command whose output has ended. The engine may need a moment to notice the
/// end, and sends no word about it on this connection, so it is asked a few times.
async fn exit_code(
    endpoint: &Endpoint,
    task: &Task,
    api: &Api,
    exec_id: &str,
    limit: Duration,
) -> Result<i64, Error> {
    let ask = async {
        let mut pause = Duration::from_millis(2);
        loop {
            let state = api.docker.inspect_exec(exec_id).await;
            let state = state.map_err(|e| classify(endpoint, task, e))?;
            if let (Some(code), false) = (state.exit_code, state.running.unwrap_or(false)) {
                return Ok(code);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    };
    tokio::time::timeout(limit, ask).await.map_err(|_| task.timeout(limit))?
}

struct Control {
    api: Arc<Api>,
    exec_id: String,
    task: Task,
    endpoint: Endpoint,
    limit: Duration,
}

impl ExecControl for Control {
    fn resize(&self, size: TerminalSize) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let options = ResizeExecOptionsBuilder::new()
                .w(i32::from(size.columns))
                .h(i32::from(size.rows))
                .build();
            let resize = self.api.docker.resize_exec(&self.exec_id, options);
            match tokio::time::timeout(self.limit, resize).await {
                Ok(result) => result.map_err(|e| classify(&self.endpoint, &self.task, e)),
                Err(_) => Err(self.task.timeout(self.limit)),
            }
        }
        .boxed()
    }

    fn exit_code(&self) -> BoxFuture<'_, Result<i64, Error>> {
        exit_code(&self.endpoint, &self.task, &self.api, &self.exec_id, self.limit).boxed()
    }
}
