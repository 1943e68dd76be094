//! Leases.

use std::ops::ControlFlow;

use super::Machine;
use crate::{
    Error, Lease, LeaseId, Refusal, Response, View,
    layout::{attachment_bounds, corrupt, encode, lease_key, read_lease},
    read::{get, scan},
};

/// Longest life of a lease: about 285 years, as long as etcd's.
const MAX_TTL_SECONDS: u64 = 9_000_000_000;

impl<V: View> Machine<'_, V> {
    pub(super) fn grant(
        &mut self,
        id: LeaseId,
        ttl_seconds: u64,
    ) -> Result<Response, Error<V::Error>> {
        if ttl_seconds == 0 || ttl_seconds > MAX_TTL_SECONDS {
            return Err(Refusal::LeaseTtl { limit: MAX_TTL_SECONDS }.into());
        }
        let id = if id == 0 { self.free_lease()? } else { id };
        if read_lease(&self.overlay, id)?.is_some() {
            return Err(Refusal::LeaseExists { lease: id }.into());
        }
        Ok(self.save(Lease { id, ttl_seconds, renewals: 0 }))
    }

    pub(super) fn keep_alive(&mut self, id: LeaseId) -> Result<Response, Error<V::Error>> {
        let mut lease = self.living(id)?;
        lease.renewals += 1;
        Ok(self.save(lease))
    }

    pub(super) fn revoke(&mut self, id: LeaseId) -> Result<Response, Error<V::Error>> {
        self.living(id)?;
        self.end(id)
    }

    pub(super) fn expire(
        &mut self,
        id: LeaseId,
        renewals: u64,
    ) -> Result<Response, Error<V::Error>> {
        if self.living(id)?.renewals == renewals {
            return self.end(id);
        }
        Ok(Response::Done { revision: self.outcome_revision() })
    }

    /// Removes a lease and the keys bound to it.
    fn end(&mut self, id: LeaseId) -> Result<Response, Error<V::Error>> {
        let (start, end) = attachment_bounds(id);
        let mut keys = Vec::new();
        scan(&self.overlay, &start, &end, |storage_key, _| {
            let name = storage_key.get(9..).unwrap_or_default();
            keys.push(String::from_utf8(name.to_vec()).map_err(|_| corrupt(storage_key))?);
            Ok(ControlFlow::Continue(()))
        })?;
        for key in keys {
            if let Some(kv) = get(&self.overlay, &key)? {
                self.remove(kv);
            }
        }
        self.overlay.delete(lease_key(id));
        Ok(Response::Done { revision: self.outcome_revision() })
    }

    fn living(&self, id: LeaseId) -> Result<Lease, Error<V::Error>> {
        read_lease(&self.overlay, id)?.ok_or_else(|| Refusal::LeaseNotFound { lease: id }.into())
    }

    fn save(&mut self, lease: Lease) -> Response {
        self.overlay.put(lease_key(lease.id), encode(&lease));
        Response::Lease(lease)
    }

    fn free_lease(&mut self) -> Result<LeaseId, Error<V::Error>> {
        loop {
            let id = self.meta.next_lease;
            self.meta.next_lease = id.checked_add(1).unwrap_or(1);
            if read_lease(&self.overlay, id)?.is_none() {
                return Ok(id);
            }
        }
    }
}
