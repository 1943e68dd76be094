//! A member whose disk was put back to an earlier time, as by a snapshot of its machine.

use std::{fs, path::Path};

use smr_store::Options;

use crate::support::{Cluster, eventually};

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn reverts(tune: fn(&mut Options), cut_the_log: bool) {
    let mut cluster = Cluster::start_with(3, tune).await;
    let leader = cluster.store(1).clone();
    leader.put("/before", "v").await.unwrap();
    cluster.converged().await;
    let (dir, old) = (cluster.dir.path().join("3"), cluster.dir.path().join("old"));
    cluster.kill(3).await;
    copy(&dir, &old);
    cluster.open(3).await;
    for i in 0..200 {
        leader.put(format!("/after/{i}"), "v").await.unwrap();
    }
    cluster.converged().await;
    if cut_the_log {
        leader.snapshot().await.unwrap();
        eventually("the snapshot", || leader.status().snapshot_index > 200).await;
    }
    cluster.kill(3).await;
    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&old, &dir).unwrap();
    cluster.open(3).await;
    // The others must not suffer, and the cluster must be able to tell the member what it is.
    for i in 0..20 {
        leader.put(format!("/later/{i}"), "v").await.unwrap();
    }
    cluster.store(3).barrier().await.unwrap();
    cluster.converged().await;
    assert_eq!(leader.status().fault, None);
    // What it has now is whole.
    cluster.kill(3).await;
    cluster.open(3).await;
    leader.put("/end", "v").await.unwrap();
    cluster.converged().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_an_old_copy_of_its_disk_harms_nobody() {
    reverts(|_| {}, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_when_what_it_lacks_is_in_a_snapshot_only() {
    reverts(|options| options.keep_entries = 5, true).await;
}
