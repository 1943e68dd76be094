//! The replicated state of one node: the real machine on a map in memory, and what watches tell.

use std::rc::Rc;

use smr_state::{Command, CommandResult, Commit, Machine, MemoryView};

use crate::{
    disk::Config,
    log::{Entry, Payload},
    random::fnv,
};

/// State as of an index.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) config: Config,
    pub(crate) view: MemoryView,
    pub(crate) digest: u64,
}

/// What applying an entry brought.
pub(crate) struct Effect {
    pub(crate) result: Option<CommandResult>,
    pub(crate) commits: Vec<Commit>,
}

/// The replicated state of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) view: MemoryView,
    pub(crate) applied: u64,
    /// Digest of every change up to here, one after the other.
    pub(crate) digest: u64,
}

impl State {
    pub(crate) fn restored(snapshot: &Snapshot) -> Self {
        Self { view: snapshot.view.clone(), applied: snapshot.index, digest: snapshot.digest }
    }

    pub(crate) fn snapshot(&self, term: u64, config: Config) -> Rc<Snapshot> {
        let Self { view, applied, digest } = self;
        Rc::new(Snapshot { index: *applied, term, config, view: view.clone(), digest: *digest })
    }

    /// The keyspace's revision.
    pub(crate) fn revision(&self) -> u64 {
        smr_state::meta(&self.view).map_or(0, |meta| meta.revision)
    }

    pub(crate) fn apply(&mut self, entry: &Entry) -> Effect {
        self.applied = entry.index;
        let mut effect = Effect { result: None, commits: Vec::new() };
        if let Payload::Command(command) = &entry.payload {
            let (result, commits) = self.run(command);
            effect = Effect { result: Some(result), commits };
        }
        self.digest = fnv(self.digest, &entry.index.to_le_bytes());
        effect
    }

    fn run(&mut self, command: &Command) -> (CommandResult, Vec<Commit>) {
        let mut machine = Machine::new(&self.view).expect("a map in memory is readable");
        let result = machine.apply(command).expect("a map in memory is readable");
        let applied = machine.finish();
        let mut digest = self.digest;
        for (key, value) in applied.changes {
            digest = fnv(digest, &key);
            match value {
                Some(value) => {
                    digest = fnv(digest, &value);
                    self.view.insert(key, value);
                }
                None => {
                    digest = fnv(digest, b"removed");
                    self.view.remove(&key);
                }
            }
        }
        self.digest = digest;
        (result, applied.commits)
    }
}
