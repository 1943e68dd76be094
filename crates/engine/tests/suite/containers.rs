//! Containers from creation to removal.

use std::time::Duration;

use smr_engine::{Conflict, Error, ErrorClass, Ownership};
use smr_model::{
    Bytes, ContainerFile, Cpus, Device, EngineState, HealthCommand, LogConfig, Mount, MountKind,
    PortBinding, Ulimit,
};

use super::fixture::{Fixture, SOON, class, ownership, words};

pub(crate) async fn lifecycle(f: &Fixture) {
    let spec = f.spec("life");
    let id = f.create(&spec, "life").await;
    let listed = f.engine.list().await.unwrap();
    let made = listed.iter().find(|c| c.id == id).expect("listed");
    assert_eq!(made.name, spec.name);
    assert_eq!(made.state, EngineState::Created);
    assert_eq!(made.ownership, Some(f.own("life")));
    assert_eq!(made.exit_code, None);

    f.engine.start(&id).await.unwrap();
    f.engine.start(&id).await.expect("starting again is fine");
    let running = f.engine.inspect(&spec.name).await.unwrap().expect("there");
    assert_eq!((running.state, running.exit_code), (EngineState::Running, None));
    assert_eq!(running.image, spec.image);
    assert!(running.started_at.is_some() && running.addresses.contains_key("bridge"));
    let listed = f.engine.list().await.unwrap();
    let again = f.engine.list().await.unwrap();
    assert_eq!(listed, again);
    let from_list = listed.iter().find(|c| c.id == id).expect("listed");
    assert_eq!(from_list, &running);

    f.engine.stop(&id, None, Duration::from_secs(5)).await.unwrap();
    f.engine.stop(&id, None, Duration::from_secs(5)).await.expect("stopping again is fine");
    let ended = f.engine.inspect(&id).await.unwrap().expect("there");
    assert_eq!((ended.state, ended.exit_code), (EngineState::Exited, Some(143)));
    assert!(ended.finished_at.is_some() && ended.addresses.is_empty());

    f.engine.start(&id).await.expect("it can be started again");
    f.engine.remove(&id).await.expect("a running one is removed");
    f.engine.remove(&id).await.expect("removing again is fine");
    f.engine.stop(&id, None, SOON).await.expect("stopping an absent one is fine");
    assert_eq!(f.engine.inspect(&id).await.unwrap(), None);
    assert!(f.engine.list().await.unwrap().iter().all(|c| c.id != id));
    assert_eq!(class(f.engine.start(&id).await), ErrorClass::NotFound);
}

pub(crate) async fn stop_kills_what_does_not_listen(f: &Fixture) {
    let mut spec = f.script("deaf", "trap '' TERM; sleep 3600");
    spec.init = false;
    let id = f.run(&spec, "deaf").await;
    f.engine.stop(&id, None, Duration::from_secs(1)).await.unwrap();
    let ended = f.engine.inspect(&id).await.unwrap().expect("there");
    assert_eq!(ended.exit_code, Some(137));
    f.engine.start(&id).await.unwrap();
    f.engine.stop(&id, Some("SIGKILL"), SOON).await.expect("another signal");
    let ended = f.engine.inspect(&id).await.unwrap().expect("there");
    assert_eq!(ended.exit_code, Some(137));
    f.discard(&id).await;
}

pub(crate) async fn exit_codes_and_waiting(f: &Fixture) {
    let id = f.run(&f.script("code", "exit 3"), "code").await;
    assert_eq!(f.engine.wait(&id).await.unwrap(), 3);
    assert_eq!(f.engine.wait(&id).await.unwrap(), 3, "one that has ended is not waited for");
    let ended = f.engine.list().await.unwrap().into_iter().find(|c| c.id == id).expect("listed");
    assert_eq!((ended.state, ended.exit_code), (EngineState::Exited, Some(3)));
    f.discard(&id).await;
    assert_eq!(class(f.engine.wait(&id).await), ErrorClass::NotFound);
}

pub(crate) async fn what_cannot_be_created(f: &Fixture) {
    let id = f.create(&f.spec("twice"), "twice").await;
    match f.engine.create(&f.spec("twice"), &f.own("twice")).await {
        Err(Error::Conflict { conflict: Conflict::Name(name), .. }) => {
            assert_eq!(name, f.spec("twice").name);
        }
        other => panic!("{other:?}"),
    }
    f.discard(&id).await;

    let mut missing = f.spec("noimage");
    missing.image = "nobody.invalid/nothing:1".into();
    let result = f.engine.create(&missing, &f.own("noimage")).await;
    assert_eq!(class(result), ErrorClass::ImageMissing);

    let mut nowhere = f.spec("nonet");
    nowhere.networks =
        vec![smr_model::NetworkAttachment { network: f.name("absent"), aliases: Vec::new() }];
    let result = f.engine.create(&nowhere, &f.own("nonet")).await;
    assert_eq!(class(result), ErrorClass::NotFound);
    assert_eq!(f.engine.inspect(&nowhere.name).await.unwrap(), None, "nothing is left behind");

    let mut outside = f.spec("dots");
    outside.files = vec![ContainerFile { path: "/etc/../x".into(), ..Default::default() }];
    let result = f.engine.create(&outside, &f.own("dots")).await;
    assert_eq!(class(result), ErrorClass::Refused);

    let stranger = Ownership { node: "elsewhere".into(), ..f.own("stranger") };
    let result = f.engine.create(&f.spec("stranger"), &stranger).await;
    assert_eq!(class(result), ErrorClass::NotOurs);
}

pub(crate) async fn strangers_are_left_alone(f: &Fixture) {
    let spec = f.spec("theirs");
    let own = ownership(&*f.other, f.key("theirs"));
    let id = f.other.create(&spec, &own).await.unwrap();
    f.other.start(&id).await.unwrap();
    for id in [&id, &spec.name] {
        assert_eq!(class(f.engine.stop(id, None, SOON).await), ErrorClass::NotOurs);
        assert_eq!(class(f.engine.remove(id).await), ErrorClass::NotOurs);
        assert_eq!(class(f.engine.rename(id, "mine").await), ErrorClass::NotOurs);
    }
    assert!(f.engine.list().await.unwrap().iter().all(|c| c.id != id), "not in our list");
    let seen = f.engine.inspect(&id).await.unwrap().expect("but it can be looked at");
    assert_eq!(seen.state, EngineState::Running);
    f.other.remove(&id).await.unwrap();
}

pub(crate) async fn files_are_there_before_the_start(f: &Fixture) {
    let mut spec = f.script("files", "cat /data/deep/app.conf; sleep 3600");
    spec.files = vec![
        ContainerFile {
            path: "/data/deep/app.conf".into(),
            content: "port=80\n".into(),
            uid: 100,
            gid: 101,
            mode: 0o640,
        },
        ContainerFile {
            path: "/tmp/second".into(),
            content: "two".into(),
            mode: 0o644,
            ..Default::default()
        },
    ];
    let id = f.run(&spec, "files").await;
    let run = async |command: &[&str]| {
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        f.engine.exec_check(&id, &command, SOON).await.unwrap().output
    };
    assert_eq!(run(&["stat", "-c", "%u:%g:%a", "/data/deep/app.conf"]).await, "100:101:640\n");
    assert_eq!(run(&["stat", "-c", "%u:%g:%a", "/data"]).await, "0:0:755\n");
    assert_eq!(run(&["stat", "-c", "%a", "/tmp"]).await, "1777\n", "existing ones stay");
    assert_eq!(run(&["cat", "/tmp/second"]).await, "two");
    f.discard(&id).await;
}

pub(crate) async fn taken_ports_are_named(f: &Fixture) {
    let port = PortBinding { container: 80, host: Some(18_099), ..Default::default() };
    let mut first = f.spec("port1");
    first.ports = vec![port.clone()];
    let mut second = f.spec("port2");
    second.ports = vec![port];
    let first = f.run(&first, "port1").await;
    let second = f.create(&second, "port2").await;
    match f.engine.start(&second).await {
        Err(Error::Conflict { conflict: Conflict::Port(port), .. }) => assert_eq!(port, "18099"),
        other => panic!("{other:?}"),
    }
    f.discard(&first).await;
    f.engine.start(&second).await.expect("the port is free again");
    f.discard(&second).await;
}

pub(crate) async fn names_change(f: &Fixture) {
    let first = f.spec("renamed");
    let id = f.run(&first, "renamed").await;
    // Listed before, so that what is remembered of it has to follow.
    f.engine.list().await.unwrap();
    let aside = format!("{}.previous", first.name);
    f.engine.rename(&id, &aside).await.unwrap();
    f.engine.rename(&id, &aside).await.expect("it has that name already");
    // The name is free: another container takes it, with the same owner.
    let other = f.run(&first, "renamed").await;
    let names = async || {
        let all = f.engine.list().await.unwrap();
        let named = |id: &str| all.iter().find(|c| c.id == id).map(|c| c.name.clone()).unwrap();
        (named(&id), named(&other))
    };
    assert_eq!(names().await, (aside.clone(), first.name.clone()));
    let both = f.engine.inspect(&id).await.unwrap().unwrap();
    assert_eq!((both.state, &both.name), (EngineState::Running, &aside));
    assert_eq!(class(f.engine.rename(&id, &first.name).await), ErrorClass::Conflict);
    f.discard(&other).await;
    f.engine.rename(&id, &first.name).await.unwrap();
    assert_eq!(f.engine.inspect(&first.name).await.unwrap().unwrap().id, id);
    f.discard(&id).await;
    assert_eq!(class(f.engine.rename(&id, &aside).await), ErrorClass::NotFound);
}

pub(crate) async fn checks(f: &Fixture) {
    let id = f.run(&f.spec("checks"), "checks").await;
    let good = f.engine.exec_check(&id, &words("echo fine"), SOON).await.unwrap();
    assert_eq!((good.exit_code, good.timed_out, good.output.as_str()), (0, false, "fine\n"));
    let bad = f.engine.exec_check(&id, &words("false"), SOON).await.unwrap();
    assert_eq!((bad.exit_code, bad.timed_out), (1, false));
    let slow = Duration::from_millis(200);
    let late = f.engine.exec_check(&id, &words("sleep 5"), slow).await.unwrap();
    assert!(late.timed_out && late.exit_code != 0);
    f.discard(&id).await;
    let gone = f.engine.exec_check(&id, &words("true"), SOON).await;
    assert_eq!(class(gone), ErrorClass::NotFound);
}

pub(crate) async fn every_field_is_accepted(f: &Fixture) {
    let text = |values: &[&str]| values.iter().map(|&v| v.to_owned()).collect::<Vec<_>>();
    let pair = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let mut spec = f.spec("full");
    spec.env = text(&["A=1", "B=two words"]);
    spec.entrypoint = text(&["sleep"]);
    spec.command = text(&["3600"]);
    spec.working_dir = "/tmp".into();
    spec.user = "12:34".into();
    spec.groups = text(&["56"]);
    spec.labels = pair("team", "blue");
    spec.mounts = vec![Mount {
        kind: MountKind::Tmpfs,
        source: String::new(),
        target: "/cache".into(),
        read_only: false,
    }];
    spec.dns = text(&["10.1.2.3"]);
    spec.extra_hosts = text(&["db:10.1.2.4"]);
    spec.capabilities = text(&["NET_ADMIN"]);
    spec.cpus = Some(Cpus(500));
    spec.memory = Some(Bytes(64 << 20));
    spec.memory_reservation = Some(Bytes(32 << 20));
    spec.stop_signal = "SIGINT".into();
    spec.stop_timeout = Some(Duration::from_secs(3));
    spec.healthcheck = Some(HealthCommand {
        command: text(&["true"]),
        interval: Some(Duration::from_secs(1)),
        timeout: Some(Duration::from_secs(1)),
        start_period: Some(Duration::from_secs(1)),
        retries: Some(2),
    });
    spec.sysctls = pair("net.ipv4.ip_unprivileged_port_start", "80");
    spec.ulimits = vec![Ulimit { name: "nofile".into(), soft: 1024, hard: 2048 }];
    let (host, container) = ("/dev/null".into(), "/dev/nothing".into());
    spec.devices = vec![Device { host, container, permissions: String::new() }];
    spec.read_only = true;
    spec.tmpfs = pair("/scratch", "size=1m");
    let options = pair("max-size", "1m");
    spec.logging = Some(LogConfig { driver: "json-file".into(), options });
    let id = f.run(&spec, "full").await;
    let running = f.engine.inspect(&id).await.unwrap().expect("there");
    assert_eq!(running.state, EngineState::Running);
    assert_eq!(running.labels["team"], "blue");
    f.discard(&id).await;
}
