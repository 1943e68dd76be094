//! The harness itself: hosts reach each other, until a cable is cut or the power is.

use std::time::Duration;

use smr_integration::{Rig, wait};

#[test]
fn cables_are_cut_and_joined_and_hosts_lose_their_power() {
    let Some(rig) = Rig::require(3) else { return };
    let serve = ["run", "-d", "--name", "web", "--network", "host", "busybox", "httpd", "-f"];
    assert!(rig[2].docker_cli().args(serve).args(["-p", "8000"]).status().unwrap().success());
    let url = format!("http://{}:8000/", rig[2].address());
    let reaches = |from: u32| rig[from].curl(&["-m", "1", &url]).is_ok();
    wait("the server", Duration::from_secs(10), || reaches(1).then_some(()).ok_or("no".to_owned()))
        .unwrap();

    rig.cut_pair(1, 2).unwrap();
    assert!(!reaches(1) && reaches(3), "only the pair is cut");
    rig.heal().unwrap();
    rig.cut_one_way(2, 3).unwrap();
    assert!(reaches(1) && !reaches(3), "only answers to 3 are lost");
    rig.heal().unwrap();
    rig.cut(2).unwrap();
    assert!(!reaches(1) && !reaches(3));
    rig.join(2).unwrap();
    assert!(reaches(1) && reaches(3));

    rig[2].power_off().unwrap();
    assert!(!rig[2].docker().answers() && !reaches(1), "containers go with the power");
    rig[2].start_dockerd().unwrap();
    assert_ne!(rig[2].docker().inspect("web").unwrap()["State"]["Running"], true);
}
