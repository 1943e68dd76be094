//! How many unfinished handshakes strangers may have, by their address: nobody alone can take the
//! places of all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// For each handshake that is under way, so many wait. A burst of somebody honest gets through.
const WAITING: usize = 3;

/// The addresses with unfinished handshakes.
pub(crate) struct Addresses {
    /// Most handshakes of one address.
    limit: usize,
    table: Arc<Mutex<Table>>,
}

type Table = HashMap<IpAddr, Entry>;

struct Entry {
    turns: Arc<Semaphore>,
    /// Connections that are under way or wait.
    count: usize,
}

/// A place of a connection among those of its address, until it is dropped.
pub(crate) struct Place {
    network: IpAddr,
    turns: Arc<Semaphore>,
    table: Arc<Mutex<Table>>,
}

impl Addresses {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), table: Arc::default() }
    }

    /// `None` when too many of the address wait already.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Entry { turns: Arc::new(Semaphore::new(self.limit)), count: 0 };
        let entry = table.entry(network).or_insert_with(new);
        if entry.count >= self.limit.saturating_mul(1 + WAITING) {
            return None;
        }
        entry.count += 1;
        let turns = Arc::clone(&entry.turns);
        Some(Place { network, turns, table: Arc::clone(&self.table) })
    }
}

impl Place {
    /// Waits for the turn of this connection.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = table.get_mut(&self.network) {
            entry.count -= 1;
            if entry.count == 0 {
                table.remove(&self.network);
            }
        }
    }
}

/// What stands for an address: of IPv6 the /64 network, which is what one subscriber has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_address_has_its_places_and_no_more() {
        let addresses = Addresses::new(2);
        let here: IpAddr = "2001:db8::1".parse().unwrap();
        let beside: IpAddr = "2001:db8::2:0:0:1".parse().unwrap();
        let elsewhere: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        let places: Vec<Place> = (0..8).map(|_| addresses.enter(here).unwrap()).collect();
        assert!(addresses.enter(here).is_none());
        assert!(addresses.enter(beside).is_none(), "the same network");
        assert!(addresses.enter(elsewhere).is_some());
        let turns = [places[0].turn().await, places[1].turn().await];
        assert!(places[2].turn().now_or_never().is_none(), "two at a time");
        drop(turns);
        assert!(places[2].turn().now_or_never().is_some());
        drop(places);
        assert!(addresses.table.lock().unwrap().is_empty());
        assert!(addresses.enter(here).is_some());
    }
}
