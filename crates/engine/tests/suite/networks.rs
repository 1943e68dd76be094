//! Networks and volumes.

use smr_engine::{Ensured, ErrorClass, NetworkRequest, VolumeRequest};
use smr_model::{Mount, MountKind, NetworkAttachment};

use super::fixture::{Fixture, class};

pub(crate) async fn networks(f: &Fixture) {
    let name = f.name("net");
    let request = NetworkRequest {
        name: name.clone(),
        subnet: "10.99.7.0/24".into(),
        options: [("com.docker.network.bridge.enable_icc".to_owned(), "true".to_owned())].into(),
        ..Default::default()
    };
    assert!(!f.engine.network_exists(&name).await.unwrap());
    let (first, second) =
        tokio::join!(f.engine.ensure_network(&request), f.engine.ensure_network(&request));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.id, second.id, "asking twice at once makes one");
    assert!(first.ensured == Ensured::Created || second.ensured == Ensured::Created);
    let again = f.engine.ensure_network(&request).await.unwrap();
    assert_eq!((again.ensured, again.ours, &again.id), (Ensured::Existed, true, &first.id));
    let other = NetworkRequest { subnet: "10.99.8.0/24".into(), ..request.clone() };
    let differs = f.engine.ensure_network(&other).await.unwrap();
    assert!(matches!(differs.ensured, Ensured::Differs(ref why) if why.len() == 1));
    assert!(f.engine.list_networks().await.unwrap().iter().any(|n| n.id == first.id));
    assert!(f.other.list_networks().await.unwrap().iter().all(|n| n.id != first.id));

    let mut spec = f.spec("joined");
    spec.network_mode = name.clone();
    spec.networks = vec![
        NetworkAttachment { network: name.clone(), aliases: vec!["web".into()] },
        NetworkAttachment { network: "bridge".into(), aliases: vec!["web".into()] },
    ];
    let id = f.run(&spec, "joined").await;
    let running = f.engine.inspect(&id).await.unwrap().expect("there");
    let joined: Vec<&str> = running.addresses.keys().map(String::as_str).collect();
    assert_eq!(joined, ["bridge", name.as_str()]);
    assert!(running.addresses[&name].to_string().starts_with("10.99.7."));

    assert_eq!(class(f.engine.remove_network(&name).await), ErrorClass::Conflict);
    assert_eq!(class(f.other.remove_network(&name).await), ErrorClass::NotOurs);
    f.discard(&id).await;
    f.engine.remove_network(&name).await.unwrap();
    f.engine.remove_network(&name).await.expect("removing again is fine");
    assert!(f.engine.network_exists("bridge").await.unwrap());
    assert_eq!(class(f.engine.remove_network("bridge").await), ErrorClass::NotOurs);
}

pub(crate) async fn host_mode_joins_nothing_else(f: &Fixture) {
    let mut spec = f.spec("host");
    spec.network_mode = "host".into();
    spec.networks = vec![NetworkAttachment { network: "bridge".into(), aliases: Vec::new() }];
    let id = f.run(&spec, "host").await;
    let running = f.engine.inspect(&id).await.unwrap().expect("there");
    assert!(running.is_running() && running.addresses.is_empty());
    f.discard(&id).await;
}

pub(crate) async fn volumes(f: &Fixture) {
    let name = f.name("vol");
    let request = VolumeRequest { name: name.clone(), ..Default::default() };
    let made = f.engine.ensure_volume(&request).await.unwrap();
    assert_eq!((made.ensured, made.ours), (Ensured::Created, true));
    let again = f.engine.ensure_volume(&request).await.unwrap();
    assert_eq!((again.ensured, again.ours), (Ensured::Existed, true));
    assert!(f.engine.list_volumes().await.unwrap().iter().any(|v| v.name == name));
    let mut spec = f.spec("mounts");
    spec.mounts = vec![Mount {
        kind: MountKind::Volume,
        source: name.clone(),
        target: "/data".into(),
        read_only: false,
    }];
    let id = f.run(&spec, "mounts").await;
    assert_eq!(class(f.engine.remove_volume(&name).await), ErrorClass::Conflict);
    f.discard(&id).await;
    assert_eq!(class(f.other.remove_volume(&name).await), ErrorClass::NotOurs);
    f.engine.remove_volume(&name).await.unwrap();
    f.engine.remove_volume(&name).await.expect("removing again is fine");
}

pub(crate) async fn images(f: &Fixture) {
    use super::fixture::IMAGE;
    assert!(f.engine.image_present(IMAGE).await.unwrap());
    assert!(!f.engine.image_present("nobody.invalid/nothing:1").await.unwrap());
    let images = f.engine.images().await.unwrap();
    assert!(images.iter().any(|image| image.references.iter().any(|name| name == IMAGE)));
    let pulled = f.engine.pull("127.0.0.1:9/nothing:1", None, &smr_engine::no_progress).await;
    assert_eq!(class(pulled), ErrorClass::PullFailed);
    let info = f.engine.info().await.unwrap();
    assert!(!info.version.is_empty() && info.cpus > 0 && info.memory > 0);
}
