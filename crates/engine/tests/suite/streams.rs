//! Output, interactive commands and events.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use smr_engine::{
    Channel, Chunk, EngineEventKind, ErrorClass, ExecRequest, LogRequest, TerminalSize,
};

use super::fixture::{Fixture, SOON, class, words};

fn text(chunks: &[Chunk], channel: Channel) -> String {
    let bytes: Vec<u8> =
        chunks.iter().filter(|c| c.channel == channel).flat_map(|c| c.bytes.to_vec()).collect();
    String::from_utf8(bytes).expect("text")
}

pub(crate) async fn logs(f: &Fixture) {
    let id = f.run(&f.script("logs", "echo one; echo two; echo bad >&2"), "logs").await;
    f.engine.wait(&id).await.unwrap();
    let read = async |request: LogRequest| -> Vec<Chunk> {
        f.engine.logs(&id, request).await.unwrap().try_collect().await.unwrap()
    };
    let all = read(LogRequest::default()).await;
    assert_eq!(text(&all, Channel::Stdout), "one\ntwo\n");
    assert_eq!(text(&all, Channel::Stderr), "bad\n");
    let last = read(LogRequest { tail: Some(1), ..Default::default() }).await;
    assert_eq!(last.iter().map(|c| c.bytes.len()).sum::<usize>(), 4);
    let followed = read(LogRequest { follow: true, ..Default::default() }).await;
    assert_eq!(text(&followed, Channel::Stdout), "one\ntwo\n", "following ends with it");
    f.discard(&id).await;
    let gone = f.engine.logs(&id, LogRequest::default()).await.map(|_| ());
    assert_eq!(class(gone), ErrorClass::NotFound);
}

pub(crate) async fn interactive(f: &Fixture) {
    let id = f.run(&f.spec("cat"), "cat").await;
    let request = ExecRequest { command: words("cat"), stdin: true, ..Default::default() };
    let session = f.engine.exec(&id, request).await.unwrap();
    session.input.send(Bytes::from_static(b"hello\n")).await.unwrap();
    session.input.send(Bytes::from_static(b"again\n")).await.unwrap();
    drop(session.input);
    let output: Vec<Chunk> = session.output.try_collect().await.unwrap();
    assert_eq!(text(&output, Channel::Stdout), "hello\nagain\n");
    assert_eq!(session.control.exit_code().await.unwrap(), 0);

    let request = ExecRequest {
        command: words("echo seen"),
        tty: true,
        size: Some(TerminalSize { columns: 100, rows: 40 }),
        ..Default::default()
    };
    let session = f.engine.exec(&id, request).await.unwrap();
    let output: Vec<Chunk> = session.output.try_collect().await.unwrap();
    assert_eq!(text(&output, Channel::Stdout).trim_end(), "seen");

    let command = vec!["sh".into(), "-c".into(), "exit 7".into()];
    let session = f.engine.exec(&id, ExecRequest { command, ..Default::default() }).await.unwrap();
    session.output.try_collect::<Vec<Chunk>>().await.unwrap();
    assert_eq!(session.control.exit_code().await.unwrap(), 7);
    f.discard(&id).await;
}

pub(crate) async fn events(f: &Fixture) {
    let mut events = f.engine.events(None).await.unwrap();
    let spec = f.script("events", "exit 4");
    let id = f.run(&spec, "events").await;
    f.engine.wait(&id).await.unwrap();
    f.discard(&id).await;
    let mut kinds = Vec::new();
    let read = async {
        while let Some(event) = events.next().await {
            let event = event.expect("an event");
            if event.container_id != id {
                continue;
            }
            if let Some(own) = &event.ownership {
                assert_eq!((own, &event.name), (&f.own("events"), &spec.name));
            }
            kinds.push(event.kind.clone());
            if event.kind == EngineEventKind::Removed {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, read).await.expect("all events");
    use EngineEventKind::{Connected, Created, Died, Disconnected, Removed, Started};
    let sorted_out: Vec<_> = kinds
        .iter()
        .filter(|kind| !matches!(kind, Connected(_) | Disconnected(_)))
        .cloned()
        .collect();
    assert_eq!(sorted_out, [Created, Started, Died(4), Removed]);
    assert!(kinds.contains(&Connected("bridge".into())), "{kinds:?}");
    assert!(kinds.contains(&Disconnected("bridge".into())), "{kinds:?}");
}
