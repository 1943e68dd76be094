//! The last one standing goes on alone.

use smr_store::{OpenError, inspect, recover};

use crate::support::{Cluster, as_member, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_survivor_of_a_lost_quorum_goes_on_with_everything_it_has() {
    let mut cluster = Cluster::start(3).await;
    for i in 0..20 {
        cluster.store(1).put(format!("/k{i}"), "v").await.unwrap();
    }
    cluster.converged().await;
    let dir = cluster.dir.path().join("3");
    assert!(matches!(inspect(&dir), Err(OpenError::Locked { .. })));
    assert!(matches!(recover(&dir, &as_member(3)), Err(OpenError::Locked { .. })));
    let before = cluster.store(3).status();
    for id in [1, 2, 3] {
        cluster.kill(id).await;
    }

    let files = || {
        let mut all: Vec<_> = std::fs::read_dir(dir.join("wal"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        all.sort();
        all
    };
    let untouched = files();
    let seen = inspect(&dir).unwrap();
    assert_eq!(files(), untouched);
    assert_eq!((seen.node_id, seen.voters.as_slice()), (3, [1, 2, 3].as_slice()));
    assert_eq!(seen.members, [as_member(1), as_member(2), as_member(3)]);
    assert!(seen.last_log_index >= before.last_log_index && seen.term == before.term);

    assert!(matches!(recover(&dir, &as_member(2)), Err(OpenError::OtherNode { .. })));
    for _ in 0..2 {
        let info = recover(&dir, &as_member(3)).unwrap();
        assert_eq!(info.revision, before.revision);
    }
    assert_eq!(inspect(&dir).unwrap().members, [as_member(3)]);

    let survivor = cluster.open(3).await;
    eventually("it to lead", || survivor.leadership().borrow().ready).await;
    assert_eq!(survivor.status().voters, [3]);
    assert!((0..20).all(|i| survivor.get(&format!("/k{i}")).unwrap().is_some()));
    survivor.put("/on", "v").await.unwrap();
    // A new member joins it.
    cluster.open(4).await;
    survivor.add_learner(as_member(4)).await.unwrap();
    survivor.set_voters([3, 4].into()).await.unwrap();
    cluster.store(4).put("/further", "v").await.unwrap();
    cluster.converged().await;
    cluster.stop().await;
}
