//! The trait: everything smr asks of a container engine.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use jiff::Timestamp;
use smr_model::{ContainerSpec, RegistryAuth};
use tokio::sync::mpsc;

use crate::{
    error::Error,
    ownership::{Owner, Ownership},
    types::{
        Chunk, Container, EngineEvent, EngineInfo, ExecOutcome, ExecRequest, Image, LogRequest,
        Network, NetworkOutcome, NetworkRequest, Progress, TerminalSize, Volume, VolumeOutcome,
        VolumeRequest,
    },
};

/// A container engine, working for one node of one cluster.
///
/// Every call but the streams ends within a limit, however slow the engine is
/// ([`Error::Timeout`]). Calls that change something may have happened even when they failed:
/// look again before going on. All calls may run at the same time.
#[async_trait]
pub trait ContainerEngine: Send + Sync {
    /// The node this engine works for.
    fn owner(&self) -> &Owner;

    /// What the engine is and runs on.
    async fn info(&self) -> Result<EngineInfo, Error>;

    /// All containers of this cluster and node, ended ones too, by name.
    async fn list(&self) -> Result<Vec<Container>, Error>;

    /// One container of whatever owner, by id or name; `None` when there is none.
    async fn inspect(&self, id_or_name: &str) -> Result<Option<Container>, Error>;

    /// All images on the node.
    async fn images(&self) -> Result<Vec<Image>, Error>;

    /// Whether an image (`name:tag` or `name@digest`) is on the node.
    async fn image_present(&self, reference: &str) -> Result<bool, Error>;

    /// Pulls an image. An error anywhere in the transfer is an error here.
    async fn pull(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        progress: Progress<'_>,
    ) -> Result<(), Error>;

    /// Makes a container, joins it to its networks and places its files; returns its id. All or
    /// nothing: when something fails, what was made is removed.
    ///
    /// With network mode `host` or `none` there are no further networks to join, and
    /// [`ContainerSpec::networks`] has no effect.
    async fn create(&self, spec: &ContainerSpec, own: &Ownership) -> Result<String, Error>;

    /// Starts a container. One that runs already is fine.
    async fn start(&self, id: &str) -> Result<(), Error>;

    /// Asks the main process to end (with `signal`, or the container's own stop signal) and kills
    /// it after `timeout`. A container that does not run or exist is fine; one of somebody else
    /// is refused with [`Error::NotOurs`].
    async fn stop(&self, id: &str, signal: Option<&str>, timeout: Duration) -> Result<(), Error>;

    /// Gives a container another name, whether it runs or not; the name it had is free then. One that
    /// does not exist is [`Error::NotFound`], a name that is taken [`Error::Conflict`], a container
    /// of somebody else [`Error::NotOurs`]; one that has the name already is fine.
    async fn rename(&self, id: &str, name: &str) -> Result<(), Error>;

    /// Removes a container and its anonymous volumes, killing it first if it runs; returns when
    /// it is gone. One that does not exist is fine; one of somebody else is refused with
    /// [`Error::NotOurs`].
    async fn remove(&self, id: &str) -> Result<(), Error>;

    /// Runs a command in a container to its end, without input. A command that takes longer than
    /// `timeout` is a result ([`ExecOutcome::timed_out`]), an engine that does is an error.
    async fn exec_check(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutcome, Error>;

    /// Runs a command in a container interactively.
    async fn exec(&self, id: &str, request: ExecRequest) -> Result<ExecSession, Error>;

    /// What a container wrote.
    async fn logs(
        &self,
        id: &str,
        request: LogRequest,
    ) -> Result<BoxStream<'static, Result<Chunk, Error>>, Error>;

    /// Waits, without limit, until the main process has ended; returns its exit code. A container
    /// that does not run returns at once.
    async fn wait(&self, id: &str) -> Result<i64, Error>;

    /// Makes a network unless there is one of that name. A different one is left alone.
    async fn ensure_network(&self, request: &NetworkRequest) -> Result<NetworkOutcome, Error>;

    /// Whether the engine has a network of that name, whoever made it.
    async fn network_exists(&self, name: &str) -> Result<bool, Error>;

    /// Removes a network of ours. Absent is fine; with containers on it is
    /// [`Error::Conflict`]; one of somebody else is refused with [`Error::NotOurs`].
    async fn remove_network(&self, name: &str) -> Result<(), Error>;

    /// The networks of this cluster and node, by name.
    async fn list_networks(&self) -> Result<Vec<Network>, Error>;

    /// Makes a volume unless there is one of that name. A different one is left alone.
    async fn ensure_volume(&self, request: &VolumeRequest) -> Result<VolumeOutcome, Error>;

    /// Removes a volume of ours with its data. Absent is fine; a used one is
    /// [`Error::Conflict`]; one of somebody else is refused with [`Error::NotOurs`].
    async fn remove_volume(&self, name: &str) -> Result<(), Error>;

    /// The volumes of this cluster and node, by name.
    async fn list_volumes(&self) -> Result<Vec<Volume>, Error>;

    /// Events of our containers from `since` on, or from now. Nothing that happens after this
    /// call has returned is missed while the stream lasts. The stream ends, with an error or
    /// without, when the engine goes away: open a new one and list everything again.
    async fn events(
        &self,
        since: Option<Timestamp>,
    ) -> Result<BoxStream<'static, Result<EngineEvent, Error>>, Error>;
}

/// A command running in a container. Dropping it closes the connection; whether the command then
/// ends is up to the command.
pub struct ExecSession {
    /// Standard input; drop it to close standard input. Full means the command does not read.
    pub input: mpsc::Sender<Bytes>,
    /// Output until the command ends.
    pub output: BoxStream<'static, Result<Chunk, Error>>,
    /// Resizes the terminal and tells the exit code.
    pub control: Box<dyn ExecControl>,
}

impl std::fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecSession").finish_non_exhaustive()
    }
}

/// What can be asked of a running command beside its input and output.
pub trait ExecControl: Send + Sync {
    /// Tells the command's terminal its new size.
    fn resize(&self, size: TerminalSize) -> BoxFuture<'_, Result<(), Error>>;

    /// The exit code; ask after the output has ended.
    fn exit_code(&self) -> BoxFuture<'_, Result<i64, Error>>;
}
