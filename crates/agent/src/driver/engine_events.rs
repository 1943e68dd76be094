//! What the engine says, put into the world.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smr_engine::{Container, EngineEvent, EngineEventKind, Error, Role};
use smr_model::{EngineState, ReplicaKey};
use smr_reconcile::{ActionKind, Seen, is_previous};

use super::Driver;
use crate::{
    agent::EngineStatus,
    seen::{chain, seen},
    world::Slot,
};

impl Driver {
    /// The event stream is open: list, then everything is known.
    pub(super) fn engine_up(&mut self) {
        self.list();
    }

    pub(super) fn engine_lost(&mut self, why: String) {
        if self.status.send_replace(EngineStatus::Down(why.clone()))
            != EngineStatus::Down(why.clone())
        {
            tracing::warn!(error = %why, "the container engine does not answer, waiting for it");
        }
        self.was_down = true;
        self.desired.send_if_modified(|desired| std::mem::take(&mut desired.engine_up));
        // Being told the same again, as happens while it is away, changes nothing.
        if self.engine_down.as_ref() != Some(&why) {
            self.engine_down = Some(why);
            self.dirty.extend(self.world.all_replicas());
        }
    }

    /// All containers as they were when `touched` was the count of changes: slots that changed
    /// since know better.
    pub(super) fn listed(&mut self, touched: u64, containers: Result<Vec<Container>, Error>) {
        self.listing = false;
        let containers = match containers {
            Ok(containers) => containers,
            Err(error) => {
                self.engine_lost(chain(&error));
                // The monitor opens a new event stream when the engine is back, unless only the
                // listing failed.
                return self.list_within(super::RETRY);
            }
        };
        let now = Timestamp::now();
        let mut present = BTreeSet::new();
        for container in &containers {
            let Some(own) = &container.ownership else { continue };
            let which = Part::of(own.role, &container.name);
            present.insert((own.replica.clone(), which));
            let (slot, _) = self.world.slot(&own.replica, now);
            if slot.touched > touched || is_changing(slot) {
                continue;
            }
            let found = seen(container);
            if which == Part::Main {
                let addresses: BTreeMap<String, String> = container
                    .addresses
                    .iter()
                    .map(|(network, ip)| (network.clone(), ip.to_string()))
                    .collect();
                if slot.replica.status.addresses != addresses {
                    slot.replica.status.addresses = addresses;
                    self.dirty.insert(own.replica.clone());
                }
                if self.was_down && found.ended() {
                    slot.replica.memory.forgive();
                }
            }
            let found = Some(found);
            if *part(slot, which) != found {
                *part(slot, which) = found;
                self.dirty.insert(own.replica.clone());
            }
        }
        for (key, slot) in &mut self.world.slots {
            if slot.touched > touched || is_changing(slot) {
                continue;
            }
            for which in Part::ALL {
                if !present.contains(&(key.clone(), which)) && part(slot, which).take().is_some() {
                    self.dirty.insert(key.clone());
                }
            }
        }
        self.was_down = false;
        if self.engine_down.take().is_some() {
            self.dirty.extend(self.world.all_replicas());
            tracing::info!(containers = containers.len(), "the container engine answers");
            self.status.send_replace(EngineStatus::Ready);
            self.desired.send_modify(|desired| {
                desired.engine_up = true;
                desired.engine_epoch += 1;
            });
        }
        if std::mem::take(&mut self.list_again) {
            self.list();
        }
    }

    pub(super) fn engine_event(&mut self, event: &EngineEvent) {
        let Some((key, which)) = self.find(event) else { return };
        self.touched += 1;
        let touched = self.touched;
        let Some(slot) = self.world.slots.get_mut(&key) else { return };
        let Some(seen) = part(slot, which).as_mut() else {
            return;
        };
        let mut refresh = false;
        match &event.kind {
            EngineEventKind::Started => {
                seen.state = EngineState::Running;
                seen.started_at = Some(event.time);
                seen.exit_code = None;
                seen.finished_at = None;
                refresh = true;
            }
            EngineEventKind::Died(code) => {
                seen.state = EngineState::Exited;
                seen.exit_code = Some(*code);
                seen.finished_at = Some(event.time);
            }
            EngineEventKind::OutOfMemory => seen.oom_killed = true,
            EngineEventKind::Removed => *part(slot, which) = None,
            EngineEventKind::Paused => seen.state = EngineState::Paused,
            EngineEventKind::Unpaused => seen.state = EngineState::Running,
            EngineEventKind::Connected(_) | EngineEventKind::Disconnected(_) => refresh = true,
            EngineEventKind::Created | EngineEventKind::Health(_) => return,
        }
        slot.touched = touched;
        if refresh {
            self.refresh_soon();
        }
        self.dirty.insert(key);
    }

    /// Whose event it is; network events carry only an id, and no name is as it was for ever.
    fn find(&self, event: &EngineEvent) -> Option<(ReplicaKey, Part)> {
        let which = |slot: &Slot| {
            let is =
                |which: &Part| seen_of(slot, *which).is_some_and(|s| s.id == event.container_id);
            Part::ALL.into_iter().find(is)
        };
        if let Some(own) = &event.ownership {
            let slot = self.world.slots.get(&own.replica)?;
            return Some((own.replica.clone(), which(slot)?));
        }
        let mut slots = self.world.slots.iter();
        slots.find_map(|(key, slot)| Some((key.clone(), which(slot)?)))
    }
}

/// An action is under way that makes, renames or removes containers: its outcome tells what is there.
fn is_changing(slot: &Slot) -> bool {
    slot.replica.busy.as_ref().is_some_and(|(kind, _)| match kind {
        ActionKind::Create(_)
        | ActionKind::Start(_)
        | ActionKind::Stop
        | ActionKind::SetAside
        | ActionKind::TakeBack
        | ActionKind::Revive
        | ActionKind::Retire
        | ActionKind::Remove => true,
        ActionKind::Pull(_) | ActionKind::Readiness | ActionKind::Liveness => false,
    })
}

/// Which of a replica's containers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Main,
    Init,
    Previous,
}

impl Part {
    const ALL: [Self; 3] = [Self::Main, Self::Init, Self::Previous];

    fn of(role: Role, name: &str) -> Self {
        match role {
            Role::Init => Self::Init,
            Role::Main if is_previous(name) => Self::Previous,
            Role::Main => Self::Main,
        }
    }
}

fn seen_of(slot: &Slot, which: Part) -> Option<&Seen> {
    match which {
        Part::Main => slot.replica.main.as_ref(),
        Part::Init => slot.replica.init.as_ref(),
        Part::Previous => slot.replica.previous.as_ref(),
    }
}

fn part(slot: &mut Slot, which: Part) -> &mut Option<Seen> {
    match which {
        Part::Main => &mut slot.replica.main,
        Part::Init => &mut slot.replica.init,
        Part::Previous => &mut slot.replica.previous,
    }
}
