//! The machine against a naive model that keeps a full copy of every revision.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};

use crate::{
    CmpOp, Command, CommandResult, Compare, Error, Event, EventKind, KeyRange, KeyValue, LeaseId,
    Machine, MemoryView, Op, OpResponse, Put, RangeOutcome, RangeQuery, Refusal, Response,
    Revision, SnapshotReader, SnapshotWriter, Target, Txn, TxnOutcome, history, leases, meta,
    range,
};

const KEYS: [&str; 6] = ["/a", "/a/1", "/a/2", "/b", "/b/x", "/c"];

/// Every revision in full, and nothing clever.
#[derive(Default)]
struct Model {
    /// `states[r - 1]` is the keyspace at revision `r`.
    states: Vec<BTreeMap<String, KeyValue>>,
    leases: BTreeMap<LeaseId, u64>,
    compacted: Revision,
}

impl Model {
    fn new() -> Self {
        Self { states: vec![BTreeMap::new()], ..Self::default() }
    }

    fn revision(&self) -> Revision {
        self.states.len() as Revision
    }

    fn now(&self) -> &BTreeMap<String, KeyValue> {
        self.states.last().unwrap()
    }

    fn at(&self, revision: Revision) -> &BTreeMap<String, KeyValue> {
        &self.states[revision as usize - 1]
    }

    fn txn(&mut self, txn: &Txn) -> Result<TxnOutcome, Refusal> {
        txn.validate()?;
        let holds = |compare: &Compare| match &compare.range {
            KeyRange::Key(key) => compare.holds(self.now().get(key)),
            range => {
                let mut inside = self.now().values().filter(|kv| range.contains(&kv.key));
                inside.all(|kv| compare.holds(Some(kv)))
            }
        };
        let succeeded = txn.compares.iter().all(holds);
        let mut state = self.now().clone();
        let next = self.revision() + 1;
        let mut responses = Vec::new();
        let mut changed = false;
        for op in if succeeded { &txn.then } else { &txn.otherwise } {
            responses.push(match op {
                Op::Put(put) => {
                    if put.lease != 0 && !self.leases.contains_key(&put.lease) {
                        return Err(Refusal::LeaseNotFound { lease: put.lease });
                    }
                    changed = true;
                    let prev = state.get(&put.key).cloned();
                    let kv = KeyValue {
                        key: put.key.clone(),
                        value: put.value.clone(),
                        create_revision: prev.as_ref().map_or(next, |kv| kv.create_revision),
                        mod_revision: next,
                        version: prev.as_ref().map_or(1, |kv| kv.version + 1),
                        lease: put.lease,
                    };
                    state.insert(put.key.clone(), kv);
                    OpResponse::Put { prev: prev.filter(|_| put.prev_kv) }
                }
                Op::DeleteRange { range, prev_kv } => {
                    let gone: Vec<_> =
                        state.values().filter(|kv| range.contains(&kv.key)).cloned().collect();
                    state.retain(|key, _| !range.contains(key));
                    changed |= !gone.is_empty();
                    let deleted = gone.len() as u64;
                    OpResponse::DeleteRange { deleted, prev: if *prev_kv { gone } else { vec![] } }
                }
                Op::Range(query) => OpResponse::Range(select(&state, &query.range)),
            });
        }
        if changed {
            self.states.push(state);
        }
        for response in &mut responses {
            if let OpResponse::Range(outcome) = response {
                outcome.revision = self.revision();
            }
        }
        Ok(TxnOutcome { revision: self.revision(), succeeded, responses })
    }

    fn end_lease(&mut self, id: LeaseId) -> Response {
        self.leases.remove(&id);
        let mut state = self.now().clone();
        state.retain(|_, kv| kv.lease != id);
        if state.len() != self.now().len() {
            self.states.push(state);
        }
        Response::Done { revision: self.revision() }
    }

    fn apply(&mut self, command: &Command) -> CommandResult {
        match command {
            Command::Txn(txn) => self.txn(txn).map(Response::Txn),
            Command::GrantLease { id, ttl_seconds } => {
                if self.leases.contains_key(id) {
                    return Err(Refusal::LeaseExists { lease: *id });
                }
                self.leases.insert(*id, 0);
                let lease = crate::Lease { id: *id, ttl_seconds: *ttl_seconds, renewals: 0 };
                Ok(Response::Lease(lease))
            }
            Command::KeepAlive { id } => {
                let renewals =
                    self.leases.get_mut(id).ok_or(Refusal::LeaseNotFound { lease: *id })?;
                *renewals += 1;
                let lease = crate::Lease { id: *id, ttl_seconds: 60, renewals: *renewals };
                Ok(Response::Lease(lease))
            }
            Command::RevokeLease { id } | Command::ExpireLease { id, .. } => {
                let renewals = *self.leases.get(id).ok_or(Refusal::LeaseNotFound { lease: *id })?;
                match command {
                    Command::ExpireLease { renewals: seen, .. } if *seen != renewals => {
                        Ok(Response::Done { revision: self.revision() })
                    }
                    _ => Ok(self.end_lease(*id)),
                }
            }
            Command::Compact { revision } => {
                if *revision > self.revision() {
                    let current = self.revision();
                    return Err(Refusal::FutureRevision { requested: *revision, current });
                }
                if *revision <= self.compacted {
                    let compacted = self.compacted;
                    return Err(Refusal::Compacted { requested: *revision, compacted });
                }
                self.compacted = *revision;
                Ok(Response::Done { revision: self.revision() })
            }
        }
    }

    /// What changed from one revision to the next, by key.
    fn events(&self, revision: Revision) -> BTreeMap<String, Event> {
        let (before, after) = (self.at(revision - 1), self.at(revision));
        let puts = after.values().filter(|kv| kv.mod_revision == revision).map(|kv| Event {
            kind: EventKind::Put,
            kv: kv.clone(),
            prev: before.get(&kv.key).cloned(),
        });
        let deletes = before.values().filter(|kv| !after.contains_key(&kv.key)).map(|kv| Event {
            kind: EventKind::Delete,
            kv: KeyValue { key: kv.key.clone(), mod_revision: revision, ..KeyValue::default() },
            prev: Some(kv.clone()),
        });
        puts.chain(deletes).map(|event| (event.kv.key.clone(), event)).collect()
    }
}

fn select(state: &BTreeMap<String, KeyValue>, range: &KeyRange) -> RangeOutcome {
    let kvs: Vec<_> = state.values().filter(|kv| range.contains(&kv.key)).cloned().collect();
    RangeOutcome { revision: 0, count: kvs.len(), kvs, more: false }
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(&KEYS[..]).prop_map(str::to_owned)
}

fn key_range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        4 => key().prop_map(KeyRange::Key),
        2 => key().prop_map(KeyRange::Prefix),
        1 => (key(), key()).prop_map(|(start, end)| KeyRange::Range { start, end }),
        1 => key().prop_map(KeyRange::From),
        1 => Just(KeyRange::All),
    ]
}

fn compare() -> impl Strategy<Value = Compare> {
    let relation =
        prop::sample::select(vec![CmpOp::Equal, CmpOp::NotEqual, CmpOp::Less, CmpOp::Greater]);
    let target = prop_oneof![
        (0..4u64).prop_map(Target::Version),
        (0..20u64).prop_map(Target::CreateRevision),
        (0..20u64).prop_map(Target::ModRevision),
        vec(0..3u8, 0..2).prop_map(Target::Value),
        (0..4u64).prop_map(Target::Lease),
    ];
    (key_range(), relation, target).prop_map(|(range, op, target)| Compare { range, op, target })
}

fn op() -> impl Strategy<Value = Op> {
    let put = (key(), vec(0..3u8, 0..2), prop_oneof![3 => Just(0u64), 1 => 1..4u64], any::<bool>());
    prop_oneof![
        3 => put.prop_map(|(key, value, lease, prev_kv)| {
            Op::Put(Put { key, value, lease, prev_kv, keep_value: false, keep_lease: false })
        }),
        1 => (key_range(), any::<bool>()).prop_map(|(range, prev_kv)| Op::DeleteRange { range, prev_kv }),
        1 => key_range().prop_map(|range| Op::Range(RangeQuery::new(range))),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let txn = (vec(compare(), 0..3), vec(op(), 0..4), vec(op(), 0..3));
    prop_oneof![
        8 => txn.prop_map(|(compares, then, otherwise)| Command::Txn(Txn { compares, then, otherwise })),
        1 => (1..4u64).prop_map(|id| Command::GrantLease { id, ttl_seconds: 60 }),
        1 => (1..4u64).prop_map(|id| Command::KeepAlive { id }),
        1 => (1..4u64).prop_map(|id| Command::RevokeLease { id }),
        1 => (1..4u64, 0..2u64).prop_map(|(id, renewals)| Command::ExpireLease { id, renewals }),
        1 => (1..30u64).prop_map(|revision| Command::Compact { revision }),
    ]
}

/// Applies commands in one run and writes the changes.
fn run(storage: &mut MemoryView, commands: &[Command]) -> Vec<CommandResult> {
    let mut machine = Machine::new(storage).unwrap();
    let results = commands.iter().map(|command| machine.apply(command).unwrap()).collect();
    for (key, change) in machine.finish().changes {
        match change {
            Some(value) => storage.insert(key, value),
            None => storage.remove(&key),
        };
    }
    results
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_the_naive_model(
        commands in vec(command(), 1..40),
        probe in key_range(),
        limit in option::of(1..4usize),
    ) {
        let mut storage = MemoryView::new();
        let mut model = Model::new();
        for command in &commands {
            let result = run(&mut storage, std::slice::from_ref(command)).remove(0);
            prop_assert_eq!(&result, &model.apply(command), "{:?}", command);
        }
        prop_assert_eq!(meta(&storage).unwrap().revision, model.revision());
        let living: BTreeMap<_, _> =
            leases(&storage).unwrap().into_iter().map(|lease| (lease.id, lease.renewals)).collect();
        prop_assert_eq!(&living, &model.leases);

        for revision in 1..=model.revision() {
            let query = RangeQuery::new(probe.clone()).at(revision);
            if revision < model.compacted {
                let refused = matches!(range(&storage, &query), Err(Error::Refused(Refusal::Compacted { .. })));
                prop_assert!(refused);
                continue;
            }
            let mut wanted = select(model.at(revision), &probe);
            wanted.revision = model.revision();
            prop_assert_eq!(&range(&storage, &query).unwrap(), &wanted);
            if let Some(limit) = limit {
                wanted.more = wanted.kvs.len() > limit;
                wanted.kvs.truncate(limit);
                prop_assert_eq!(range(&storage, &query.limit(limit)).unwrap(), wanted);
            }
        }

        let mut from = model.compacted + 1;
        let mut seen = BTreeMap::new();
        while from <= model.revision() {
            // A tiny limit: every piece ends at the end of a revision.
            let piece = history(&storage, &probe, from, 1).unwrap();
            prop_assert!(piece.next > from);
            for commit in piece.commits {
                for event in commit.events {
                    seen.insert((commit.revision, event.kv.key.clone()), event);
                }
            }
            from = piece.next;
        }
        let mut wanted = BTreeMap::new();
        for revision in (model.compacted + 1).max(2)..=model.revision() {
            for (key, event) in model.events(revision) {
                if probe.contains(&key) {
                    wanted.insert((revision, key), event);
                }
            }
        }
        prop_assert_eq!(seen, wanted);
    }

    #[test]
    fn the_same_commands_give_byte_equal_storage_however_they_are_grouped(
        commands in vec(command(), 1..40),
        group in 1..9usize,
    ) {
        let (mut single, mut grouped) = (MemoryView::new(), MemoryView::new());
        let mut one_by_one = Vec::new();
        for command in &commands {
            one_by_one.extend(run(&mut single, std::slice::from_ref(command)));
        }
        let mut together = Vec::new();
        for chunk in commands.chunks(group) {
            together.extend(run(&mut grouped, chunk));
        }
        prop_assert_eq!(one_by_one, together);
        prop_assert_eq!(single, grouped);
    }

    #[test]
    fn a_refused_command_changes_nothing(before in vec(command(), 0..20), command in command()) {
        let mut storage = MemoryView::new();
        run(&mut storage, &before);
        let copy = storage.clone();
        if run(&mut storage, &[command]).remove(0).is_err() {
            prop_assert_eq!(storage, copy);
        }
    }

    #[test]
    fn a_snapshot_brings_back_the_same_bytes(commands in vec(command(), 0..40)) {
        let mut storage = MemoryView::new();
        run(&mut storage, &commands);
        let mut writer = SnapshotWriter::new(Vec::new(), b"").unwrap();
        for (key, value) in &storage {
            writer.entry(key, value).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let mut reader = SnapshotReader::new(&bytes[..]).unwrap();
        let mut restored = MemoryView::new();
        while let Some((key, value)) = reader.next_entry().unwrap() {
            restored.insert(key.to_vec(), value.to_vec());
        }
        prop_assert_eq!(restored, storage);
    }
}

#[test]
fn a_put_can_keep_value_or_lease() {
    let mut storage = MemoryView::new();
    let keep = |keep_value, keep_lease| {
        let put = Put {
            key: "/a".into(),
            value: b"new".to_vec(),
            lease: 0,
            prev_kv: false,
            keep_value,
            keep_lease,
        };
        Command::Txn(Txn::new().then(Op::Put(put)))
    };
    let refused = run(&mut storage, &[keep(true, false)]).remove(0);
    assert_eq!(refused, Err(Refusal::KeyNotFound { key: "/a".into() }));
    let grant = Command::GrantLease { id: 0, ttl_seconds: 5 };
    let first = Command::Txn(Txn::new().then(Op::put_leased("/a", "old", 1)));
    let results = run(&mut storage, &[grant, first, keep(false, true), keep(true, false)]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let kv = crate::get(&storage, "/a").unwrap().unwrap();
    assert_eq!((kv.value.as_slice(), kv.lease, kv.version), (&b"new"[..], 0, 3));
    // The key left the lease, so revoking it does not touch the key.
    run(&mut storage, &[Command::RevokeLease { id: 1 }]);
    assert!(crate::get(&storage, "/a").unwrap().is_some());
}

#[test]
fn limits_and_duplicates_are_refused() {
    let cases = [
        (Txn::new().then(Op::put("", "x")), "key is empty"),
        (
            Txn::new().then(Op::put("/a", "1")).then(Op::put("/a", "2")),
            "key `/a` is changed twice in one transaction",
        ),
        (
            Txn::new()
                .then(Op::put("/a", "1"))
                .or_else(Op::put("/b", "1"))
                .or_else(Op::delete("/b")),
            "key `/b` is changed twice in one transaction",
        ),
        (
            Txn::new().then(Op::put("/a", vec![0; crate::MAX_TXN_BYTES])),
            "transaction has `2097154` bytes, at most `2097152` are allowed",
        ),
        (
            Txn::new().then(Op::put("k".repeat(5000), "x")),
            "key is `5000` bytes long, at most `4096` are allowed",
        ),
    ];
    for (txn, message) in cases {
        assert_eq!(txn.validate().unwrap_err().to_string(), message);
    }
}
