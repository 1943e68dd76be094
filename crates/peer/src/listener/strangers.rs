//! How many unfinished handshakes strangers may have, by their address: nobody alone can take the
//! places of all.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

type Table = BTreeMap<IpAddr, usize>;

/// The addresses with unfinished handshakes.
pub(super) struct Strangers {
    /// Most of one address.
    limit: usize,
    table: Arc<Mutex<Table>>,
}

/// A place among those of an address, until it is dropped.
pub(super) struct Place {
    network: IpAddr,
    table: Arc<Mutex<Table>>,
}

impl Strangers {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), table: Arc::default() }
    }

    /// `None` when the address has as many as it may.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let count = table.entry(network).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { network, table: Arc::clone(&self.table) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = table.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
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
    use super::*;

    #[test]
    fn an_address_has_its_places_and_no_more() {
        let strangers = Strangers::new(2);
        let enter = |address: &str| strangers.enter(address.parse().unwrap());
        let places = [enter("2001:db8::1"), enter("2001:db8::2:0:0:1")];
        assert!(places.iter().all(Option::is_some));
        assert!(enter("2001:db8::3").is_none(), "the same network");
        assert!(enter("2001:db8:0:1::1").is_some());
        assert!(enter("192.0.2.1").is_some());
        drop(places);
        assert!(strangers.table.lock().unwrap().is_empty());
        assert!(enter("2001:db8::3").is_some());
    }
}
