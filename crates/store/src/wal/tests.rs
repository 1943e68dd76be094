//! The log against a model: what is in a copy of its files at any moment, whole and torn.

use std::{collections::BTreeMap, fs, path::Path};

use openraft::{CommittedLeaderId, EntryPayload};

use super::{
    Wal,
    frame::{FRAME_HEADER_BYTES, HEADER_BYTES, frame_head, read_header},
    segment::list_segments,
};
use crate::{
    batch::{Batch, Entry, LogId, Vote},
    open::durably,
};

const SEGMENT: u64 = 8 * 1024;

#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    entries: BTreeMap<u64, Entry>,
    vote: Option<Vote>,
    purged: Option<LogId>,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries.values().next_back().map(|entry| entry.log_id).or(self.purged)
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn entry(term: u64, index: u64, bytes: u64) -> Entry {
    let command = smr_state::Command::Txn(
        smr_state::Txn::new().then(smr_state::Op::put("/k", vec![b'v'; bytes as usize])),
    );
    let log_id = LogId::new(CommittedLeaderId::new(term, 1), index);
    Entry { log_id, payload: EntryPayload::Normal(Batch::new(&[command]).0) }
}

fn read(wal: &Wal) -> Model {
    let entries = wal.entries(..).unwrap().into_iter().map(|entry| (entry.log_id.index, entry));
    let model = Model { entries: entries.collect(), vote: wal.vote(), purged: wal.ends().0 };
    assert_eq!(wal.ends().1, model.last());
    model
}

/// One random change of log and model.
fn change(wal: &Wal, model: &mut Model, term: &mut u64, random: &mut Random) {
    let next = model.last().map_or(0, |last| last.index + 1);
    match random.below(12) {
        0 => {
            *term += 1;
            let vote = Vote::new(*term, 1);
            model.vote = Some(vote);
            durably(|done| wal.save_vote(vote, done)).unwrap();
        }
        1 if !model.entries.is_empty() => {
            let first = next - model.entries.len() as u64;
            let from = first + random.below(next - first);
            model.entries.split_off(&from);
            *term += 1;
            durably(|done| wal.truncate(from, done)).unwrap();
        }
        2 if !model.entries.is_empty() => {
            let first = next - model.entries.len() as u64;
            let upto = model.entries[&(first + random.below(next - first))].log_id;
            model.entries = model.entries.split_off(&(upto.index + 1));
            model.purged = Some(upto);
            durably(|done| wal.purge(upto, done)).unwrap();
        }
        3 => {
            // A snapshot of another member that is ahead of this log.
            let upto = LogId::new(CommittedLeaderId::new(*term, 1), next + random.below(5));
            model.entries.clear();
            model.purged = Some(upto);
            durably(|done| wal.purge(upto, done)).unwrap();
        }
        _ => {
            let large = if random.below(40) == 0 { 10_000 } else { 900 };
            let entries: Vec<Entry> = (0..=random.below(3))
                .map(|i| entry(*term, next + i, random.below(large)))
                .collect();
            model.entries.extend(entries.iter().map(|entry| (entry.log_id.index, entry.clone())));
            durably(|done| wal.append(entries, done)).unwrap();
        }
    }
}

/// Copies the log files of a moment when nothing is appended; others may just be given up.
fn copy(from: &Path, to: &Path) {
    'again: loop {
        let _ = fs::remove_dir_all(to);
        fs::create_dir(to).unwrap();
        let files = list_segments(from).unwrap();
        for (_, file) in &files {
            if fs::copy(file, to.join(file.file_name().unwrap())).is_err() {
                continue 'again;
            }
        }
        if list_segments(from).unwrap() == files {
            return;
        }
    }
}

/// Start and end of the last frame with records of the newest file, where it is not the first one.
fn last_frame(file: &[u8]) -> Option<(usize, usize)> {
    let salt = read_header(file).unwrap().salt;
    let (mut at, mut last) = (HEADER_BYTES as usize, None);
    while let Some((length, _)) = file.get(at..).and_then(|rest| frame_head(rest, salt, at as u64))
    {
        let end = at + FRAME_HEADER_BYTES + length as usize;
        if length > 0 && at > HEADER_BYTES as usize {
            last = Some((at, end));
        }
        at = end;
    }
    last
}

#[test]
fn a_copy_of_any_moment_opens_to_what_was_durable_then() {
    let root = tempfile::tempdir().unwrap();
    let (dir, image) = (root.path().join("wal"), root.path().join("image"));
    fs::create_dir(&dir).unwrap();
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1) | 1;
    let seed = std::env::var("SMR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(random);
    println!("seed {seed}");
    let mut random = Random(seed);
    let (mut model, mut term) = (Model::default(), 1);
    let mut wal = Wal::open(&dir, SEGMENT).unwrap();
    let mut torn = 0;
    for step in 0..250 {
        let before = model.clone();
        change(&wal, &mut model, &mut term, &mut random);
        assert_eq!(read(&wal), model, "step {step}");
        if random.below(10) == 0 {
            drop(wal);
            wal = Wal::open(&dir, SEGMENT).unwrap();
            assert_eq!(read(&wal), model, "step {step}, opened again");
        }
        copy(&dir, &image);
        assert_eq!(read(&Wal::open(&image, SEGMENT).unwrap()), model, "step {step}, copy");

        // The same moment, but the last append was cut, or parts of it did not arrive. Files go only
        // after a purge is durable, so this cannot happen to one.
        if model.purged != before.purged {
            continue;
        }
        copy(&dir, &image);
        let (_, newest) = list_segments(&image).unwrap().pop().unwrap();
        let mut bytes = fs::read(&newest).unwrap();
        let Some((start, end)) = last_frame(&bytes) else { continue };
        let mut hole = start + random.below((end - start) as u64) as usize;
        let length = 1 + random.below((end - hole) as u64) as usize;
        if bytes[hole..hole + length].iter().all(|byte| *byte == 0) {
            hole = start;
        }
        bytes[hole..hole + length].fill(0);
        bytes[end..].fill(0);
        fs::write(&newest, &bytes).unwrap();
        let found = read(&Wal::open(&image, SEGMENT).unwrap());
        let mut expected = before;
        // A file begun for this very append starts with the vote as it will be. What nobody was
        // told of may be there; what was acknowledged must be.
        if found.vote == model.vote {
            expected.vote = model.vote;
        }
        assert_eq!(found, expected, "step {step}, torn at {hole} of {start}..{end}");
        torn += 1;
    }
    assert!(torn > 50, "{torn} torn copies");
}

#[test]
fn a_new_file_does_not_call_committed_what_is_in_no_file_yet() {
    let root = tempfile::tempdir().unwrap();
    let (dir, image) = (root.path().join("wal"), root.path().join("image"));
    fs::create_dir(&dir).unwrap();
    let wal = Wal::open(&dir, SEGMENT).unwrap();
    durably(|done| wal.append([entry(1, 0, 10)], done)).unwrap();
    let committed = entry(1, 0, 0).log_id;
    wal.set_committed(Some(committed));
    // The log thread is kept busy while a follower is faster than the leader's own disk.
    let (entered, busy) = std::sync::mpsc::channel();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    wal.save_vote(
        Vote::new(1, 1),
        Box::new(move |_| {
            entered.send(()).unwrap();
            let _ = wait.recv();
        }),
    );
    busy.recv().unwrap();
    let (answer, durable) = std::sync::mpsc::channel();
    wal.append(
        [entry(1, 1, SEGMENT)],
        Box::new(move |result| {
            let _ = answer.send(result);
        }),
    );
    wal.set_committed(Some(entry(1, 1, 0).log_id));
    release.send(()).unwrap();
    durable.recv().unwrap().unwrap();

    // A loss of power after the new file was begun, before the entry was written to it.
    copy(&dir, &image);
    let (_, newest) = list_segments(&image).unwrap().pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let (start, _) = last_frame(&bytes).unwrap();
    bytes[start..].fill(0);
    fs::write(&newest, &bytes).unwrap();
    let found = Wal::open(&image, SEGMENT).unwrap();
    assert_eq!(found.ends().1, Some(committed));
    assert_eq!(found.committed(), Some(committed), "not what the log does not hold");
}
