//! What everything that happens may use: the time, chance, the judge, and a way out to the world.

use smr_model::ReplicaKey;

use crate::{
    Ms,
    bug::Bug,
    check::Check,
    engine::Job,
    invariants::Judge,
    log::{Answer, Message},
    random::Random,
    story::Story,
};

/// What is to happen outside a node.
#[derive(Debug)]
pub(crate) enum Out {
    Send {
        from: u64,
        to: u64,
        message: Message,
    },
    /// The engine of a node is to do something for a replica.
    Engine {
        node: u64,
        key: ReplicaKey,
        job: Job,
    },
    /// The answer to a request of a user.
    User {
        node: u64,
        request: u64,
        answer: Answer,
    },
}

/// What everything that happens may use.
pub(crate) struct Context<'a> {
    pub(crate) now: Ms,
    pub(crate) random: &'a mut Random,
    pub(crate) out: &'a mut Vec<Out>,
    pub(crate) judge: &'a mut Judge,
    pub(crate) story: &'a mut Story,
    pub(crate) bug: Option<Bug>,
}

impl Context<'_> {
    pub(crate) fn send(&mut self, from: u64, to: u64, message: Message) {
        self.out.push(Out::Send { from, to, message });
    }

    pub(crate) fn tell(&mut self, who: u64, line: impl FnOnce() -> String) {
        self.story.tell(self.now, who, line);
    }

    pub(crate) fn fail(&mut self, check: Check, why: String) {
        self.judge.fail(check, why);
    }
}
