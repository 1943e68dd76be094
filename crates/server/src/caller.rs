//! Who sent a request, and for how long that counts.

use std::{sync::Arc, time::Duration};

use axum::extract::FromRequestParts;
use http::request::Parts;
use jiff::Timestamp;
use smr_control::Actor;
use smr_pki::{Identity, RevocationList, Role};
use smr_wire::{ApiError, Code};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{api::Api, respond::Failure};

/// A stream asks this often whether its caller is still accepted.
const CHECK: Duration = Duration::from_secs(1);

/// The certificate of a connection: who it is for, or what is wrong with it.
pub(crate) type Peer = Result<Arc<Identity>, Arc<str>>;

/// Who sent a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    identity: Arc<Identity>,
    revoked: RevocationList,
}

impl Caller {
    /// The holder of a certificate that has not ended and is not revoked.
    pub(crate) fn admit(identity: Arc<Identity>, revoked: RevocationList) -> Result<Self, Failure> {
        let caller = Self { identity, revoked };
        caller.check()?;
        Ok(caller)
    }

    pub(crate) fn actor(&self) -> Actor {
        Actor { name: self.identity.name.clone(), role: self.identity.role }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn name(&self) -> &str {
        &self.identity.name
    }

    pub(crate) fn role(&self) -> Role {
        self.identity.role
    }

    /// Whether the certificate, which was good when the connection was made, still is.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let Identity { name, serial, .. } = &*self.identity;
        if self.revoked.is_revoked(serial) {
            let message = format!("the certificate of `{name}` with serial `{serial}` is revoked");
            return Err(Failure::new(Code::Unauthenticated, message)
                .hint("an administrator can give you a new one"));
        }
        if self.identity.is_expired(Timestamp::now()) {
            let message = format!("the certificate of `{name}` expired meanwhile");
            return Err(Failure::new(Code::Unauthenticated, message)
                .hint("import a fresh context and connect again"));
        }
        Ok(())
    }

    /// Waits until the certificate is good no more.
    pub(crate) async fn refused(&self) -> ApiError {
        let mut clock = tokio::time::interval(CHECK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            if let Err(Failure(error)) = self.check() {
                return error;
            }
        }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

pub(crate) fn unauthenticated() -> Failure {
    Failure::new(Code::Unauthenticated, "a client certificate of the cluster is required")
}

/// What ends a stream before its source does.
pub(crate) struct End {
    caller: Caller,
    stop: CancellationToken,
}

impl End {
    pub(crate) fn new(caller: Caller, stop: CancellationToken) -> Self {
        Self { caller, stop }
    }

    /// Waits for the server to stop, which needs no explanation, or for the certificate of the
    /// caller to be good no more.
    pub(crate) async fn wait(self) -> Option<ApiError> {
        tokio::select! {
            () = self.stop.cancelled() => None,
            error = self.caller.refused() => Some(error),
        }
    }
}
