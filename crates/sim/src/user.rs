//! Users: ask for anything, through any node, and remember what they were told.

mod change;

use std::collections::BTreeMap;

use smr_state::{Command, Compare, Op, OpResponse, Response, Txn, TxnOutcome};

use crate::{
    linear::{Did, History, Operation},
    log::{Answer, Ask},
    node::Purpose,
    world::World,
};

pub(crate) use change::Change;

/// What a user wants.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    Change(Change),
    Get,
    Put(u64),
    /// Writes the value if what is there is what the node shows now.
    Swap(u64),
}

/// Something a user waits for.
#[derive(Debug, Clone)]
struct Waiting {
    wish: Wish,
    key: String,
    called: u64,
    /// What was compared with, once the write is under way.
    writing: Option<Option<u64>>,
}

/// All users.
#[derive(Debug, Default)]
pub(crate) struct Users {
    waiting: BTreeMap<(u64, u64), Waiting>,
    pub(crate) history: History,
    values: u64,
    pub(crate) removals: u64,
}

impl World {
    /// A user asks for something at a node that runs.
    pub(crate) fn user_acts(&mut self) {
        let up: Vec<u64> = self.nodes.values().filter(|it| it.up).map(|it| it.id).collect();
        let Some(id) = self.random.pick(&up).copied() else { return };
        let key = format!("/kv/{}", ["a", "b", "c"][self.random.below(3) as usize]);
        let wish = match self.random.below(100) {
            0..20 => Wish::Get,
            20..35 => Wish::Put(self.fresh_value()),
            35..50 => Wish::Swap(self.fresh_value()),
            _ => Wish::Change(self.change()),
        };
        self.user_wants(id, &key, wish);
    }

    /// A user asks a node for something.
    pub(crate) fn user_wants(&mut self, id: u64, key: &str, wish: Wish) {
        let key = key.to_owned();
        let called = self.moment();
        self.tell(|| format!("a user asks n{id}: {wish:?} {key}"));
        let waiting = Waiting { wish, key, called, writing: None };
        self.user_asks(id, Ask::ReadIndex, waiting);
    }

    fn fresh_value(&mut self) -> u64 {
        self.users.values += 1;
        self.users.values
    }

    /// The answer may come before this returns: who waits for it is known before.
    fn user_asks(&mut self, id: u64, ask: Ask, waiting: Waiting) {
        let Some(number) = self.nodes.get(&id).map(|it| it.requests.next_number()) else { return };
        self.users.waiting.insert((id, number), waiting);
        self.at(id, |node, cx| node.ask(Purpose::User, ask, cx));
    }

    /// Nobody hears any more of what was asked of this node.
    pub(crate) fn users_lose(&mut self, id: u64) {
        let lost: Vec<_> =
            self.users.waiting.keys().filter(|(node, _)| *node == id).copied().collect();
        for (node, request) in lost {
            self.user_answered(node, request, Answer::Unknown);
        }
    }

    /// A user hears of something.
    pub(crate) fn user_answered(&mut self, id: u64, request: u64, answer: Answer) {
        let Some(waiting) = self.users.waiting.remove(&(id, request)) else { return };
        let Some(compared) = waiting.writing else {
            if let Answer::ReadAt(_) = answer {
                self.user_goes_on(id, waiting);
            }
            return;
        };
        let returned = Some(self.moment());
        let outcome = match &answer {
            Answer::Refused(why) => {
                return self.tell(|| format!("n{id} refuses {:?}: {why}", waiting.wish));
            }
            Answer::ReadAt(_) => return,
            Answer::Unknown => None,
            Answer::Done { result, .. } => match result {
                Ok(Response::Txn(outcome)) => Some(outcome),
                _ => return,
            },
        };
        let (did, returned) = match (&waiting.wish, outcome) {
            (Wish::Get, _) => return,
            (Wish::Change(change), outcome) => {
                let change = change.clone();
                let told = outcome.map(|it| it.succeeded);
                return self.tell(|| format!("n{id} answers {told:?} to {change:?}"));
            }
            (Wish::Put(value), None) => (Did::Wrote(*value), None),
            (Wish::Put(value), Some(_)) => (Did::Wrote(*value), returned),
            (Wish::Swap(value), None) => (Did::Swapped(compared, *value), None),
            (Wish::Swap(value), Some(outcome)) if outcome.succeeded => {
                (Did::Swapped(compared, *value), returned)
            }
            (Wish::Swap(_), Some(outcome)) => (Did::Saw(found(outcome)), returned),
        };
        let operation = Operation { did, called: waiting.called, returned };
        self.users.history.add(&waiting.key, operation);
    }

    /// The node knows what was committed when it was asked: reads, and writes on that.
    fn user_goes_on(&mut self, id: u64, mut waiting: Waiting) {
        let Some(node) = self.nodes.get(&id) else { return };
        let kv = smr_state::get(&node.state.view, &waiting.key).ok().flatten();
        let seen = kv.and_then(|kv| String::from_utf8(kv.value).ok()?.parse().ok());
        let path = waiting.key.clone();
        let command = match &waiting.wish {
            Wish::Get => {
                let returned = Some(self.moment());
                let operation = Operation { did: Did::Saw(seen), called: waiting.called, returned };
                return self.users.history.add(&waiting.key, operation);
            }
            Wish::Put(value) => Some(Txn::new().then(Op::put(path, value.to_string()))),
            Wish::Swap(value) => {
                let compare = match seen {
                    Some(seen) => {
                        Compare::value(path.clone(), smr_state::CmpOp::Equal, seen.to_string())
                    }
                    None => Compare::absent(path.clone()),
                };
                let put = Op::put(path.clone(), value.to_string());
                Some(Txn::new().when(compare).then(put).or_else(Op::get(path)))
            }
            Wish::Change(change) => change.txn(node, self.now),
        };
        let Some(txn) = command else { return };
        waiting.writing = Some(seen);
        // From here on it may take effect.
        self.user_asks(id, Ask::Propose(Command::Txn(txn), None), waiting);
    }
}

/// What a swap that did not happen saw.
fn found(outcome: &TxnOutcome) -> Option<u64> {
    outcome.responses.iter().find_map(|it| match it {
        OpResponse::Range(range) => {
            String::from_utf8(range.kvs.first()?.value.clone()).ok()?.parse().ok()
        }
        OpResponse::Put { .. } | OpResponse::DeleteRange { .. } => None,
    })
}
