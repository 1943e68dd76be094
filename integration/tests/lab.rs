//! The harness itself: a lab comes up, survives a killed engine, and its images work.

use smr_integration::Lab;

#[test]
fn a_lab_runs_containers_and_survives_a_killed_engine() {
    let Some(lab) = Lab::require() else { return };
    let id = lab
        .docker()
        .run("one", "busybox:latest", &["sh", "-c", "trap exit TERM; sleep 600 & wait"])
        .unwrap();
    let said = lab.docker().exec(&id, &["echo", "hello"]).unwrap();
    assert_eq!((said.code, said.output.trim()), (0, "hello"));
    assert_eq!(lab.docker().exec(&id, &["sh", "-c", "exit 7"]).unwrap().code, 7);

    lab.kill_dockerd().unwrap();
    assert!(!lab.docker().answers());
    lab.start_dockerd().unwrap();
    assert_eq!(lab.docker().inspect("one").unwrap()["Id"], id.as_str());
}
