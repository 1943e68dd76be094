//! One suite for all engines: what a caller may rely on, whichever engine it has.
//!
//! The in-memory engine always runs it. A real one runs it when `SMR_TEST_DOCKER` names its socket;
//! the image `busybox:latest` must be on it. With `SMR_LAB=required` a missing engine is a failure.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "suite/containers.rs"]
mod containers;
#[path = "suite/fixture.rs"]
mod fixture;
#[path = "suite/networks.rs"]
mod networks;
#[path = "suite/streams.rs"]
mod streams;

use std::sync::Arc;

use fixture::{Fixture, IMAGE};
use smr_engine::{DockerEngine, MemoryEngine, Owner};

fn owner(node: &str) -> Owner {
    Owner { cluster: "suite".into(), node: node.into() }
}

fn memory() -> Fixture {
    let engine = MemoryEngine::new(owner("one"));
    engine.add_image(IMAGE);
    let other = engine.as_owner(owner("two"));
    Fixture { engine: Arc::new(engine), other: Arc::new(other), run: "m".into() }
}

fn docker(case: &str) -> Option<Fixture> {
    let Ok(socket) = std::env::var("SMR_TEST_DOCKER") else {
        let required = std::env::var("SMR_LAB").is_ok_and(|value| value == "required");
        assert!(!required, "SMR_LAB=required, but SMR_TEST_DOCKER names no engine");
        eprintln!("SKIPPED docker {case}: SMR_TEST_DOCKER does not name an engine's socket");
        return None;
    };
    let run = format!("{:x}", std::process::id());
    let engine = |node: &str| Arc::new(DockerEngine::new(&socket, owner(&format!("{node}-{run}"))));
    Some(Fixture { engine: engine("one"), other: engine("two"), run })
}

macro_rules! suite {
    ($($group:ident::$case:ident,)*) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $case() {
                super::$group::$case(&super::memory()).await;
            })*
        }

        mod on_docker {
            $(#[tokio::test]
            async fn $case() {
                if let Some(fixture) = super::docker(stringify!($case)) {
                    super::$group::$case(&fixture).await;
                }
            })*
        }
    };
}

suite! {
    containers::lifecycle,
    containers::stop_kills_what_does_not_listen,
    containers::exit_codes_and_waiting,
    containers::what_cannot_be_created,
    containers::strangers_are_left_alone,
    containers::files_are_there_before_the_start,
    containers::taken_ports_are_named,
    containers::names_change,
    containers::checks,
    containers::every_field_is_accepted,
    streams::logs,
    streams::interactive,
    streams::events,
    networks::networks,
    networks::host_mode_joins_nothing_else,
    networks::volumes,
    networks::images,
}
