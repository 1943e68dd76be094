//! The control API from inside a lab, without a process for each request.

use std::thread;

use smr_client::{Client as Api, Options};
use smr_integration::Client;
use smr_pki::ContextStore;

/// Runs `work` with the control API of the node a client belongs to, on a thread in the lab's network.
pub(crate) fn within<T: Send>(client: &Client, work: impl AsyncFnOnce(Api) -> T + Send) -> T {
    let run = || {
        client.enter().unwrap();
        let api = connect(client);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work(api))
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// The control API of the node with the context that is active there.
pub(crate) fn connect(client: &Client) -> Api {
    let contexts = ContextStore::open(client.dir().join("home/.smrctl/contexts"));
    Api::new(&contexts.current().unwrap(), Options::default()).unwrap()
}
