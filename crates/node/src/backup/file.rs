//! The file of a backup: what the store wrote, a note on whose it is, and the proof that nothing was
//! changed.
//!
//! ```text
//! store backup (gzip) | note (JSON) | length of the note (4, big endian)
//!                     | SHA-256 of all before (32) | proof (64) | "smrbak2\n" (8)
//! ```
//!
//! The proof is an HMAC of the hash with the cluster's data key. That key may be in the note, sealed under
//! a passphrase. Files of the first format are a store backup and nothing else.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};
use ring::digest::{Context as Hash, SHA256, SHA256_OUTPUT_LEN};
use serde::{Deserialize, Serialize};
use smr_pki::{DataKey, KeyLock, LockedKey, SecretString};

const MAGIC: &[u8; 8] = b"smrbak2\n";
const PROOF_LEN: usize = 64;
/// Hash, proof and magic.
const TAIL: u64 = (SHA256_OUTPUT_LEN + PROOF_LEN + MAGIC.len()) as u64;
/// A note is a few hundred bytes; whatever says more is not one.
const MAX_NOTE: u32 = 64 << 10;
const PIECE: usize = 64 << 10;
/// What the fingerprint is of.
const PROOF: &str = "backup 2";

/// Whose backup it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Note {
    /// Id of the cluster.
    pub(crate) cluster: String,
    /// Id of the node that made it.
    pub(crate) node: u64,
    /// Its name.
    pub(crate) name: String,
    /// How often that node had been started.
    pub(crate) epoch: u64,
    /// The data key, unless no passphrase was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<LockedKey>,
}

impl Note {
    fn place(&self) -> String {
        format!("backup of {}", self.cluster)
    }

    /// Puts the data key into the note.
    pub(crate) fn seal(&mut self, lock: &KeyLock, key: &DataKey) -> anyhow::Result<()> {
        self.key = Some(lock.seal(key, &self.place())?);
        Ok(())
    }

    /// The data key in the note; `None` when it was made without a passphrase.
    pub(crate) fn open(&self, passphrase: &SecretString) -> anyhow::Result<Option<DataKey>> {
        let Some(locked) = &self.key else { return Ok(None) };
        Ok(Some(locked.open(passphrase, &self.place())?))
    }
}

/// A file that is complete and undamaged; whether it is authentic only the data key can say.
#[derive(Debug)]
pub(crate) struct Complete {
    /// `None` for a file of the first format.
    pub(crate) note: Option<Note>,
    hash: Vec<u8>,
    proof: Vec<u8>,
}

impl Complete {
    /// Whether the file was written by somebody with this data key, and not changed since.
    pub(crate) fn is_proved_by(&self, key: &DataKey) -> bool {
        self.note.is_some() && key.fingerprint(PROOF, &self.hash).as_bytes() == self.proof
    }
}

/// Makes a backup file of the store backup `path`, which it changes. Blocking.
pub(crate) fn finish(path: &Path, note: &Note, key: &DataKey) -> anyhow::Result<()> {
    let failed = || format!("cannot complete `{}`", path.display());
    let mut file = File::options().read(true).append(true).open(path).with_context(failed)?;
    let mut hash = Hash::new(&SHA256);
    let length = file.metadata().with_context(failed)?.len();
    pass(&mut file, length, &mut hash, &mut io::sink()).with_context(failed)?;
    let text = serde_json::to_vec(note).context("cannot write the note of a backup")?;
    let size = u32::try_from(text.len()).ok().filter(|size| *size <= MAX_NOTE);
    let size = size.context("the note of the backup is too long")?.to_be_bytes();
    hash.update(&text);
    hash.update(&size);
    let hash = hash.finish();
    let proof = key.fingerprint(PROOF, hash.as_ref());
    let end = [&text, &size[..], hash.as_ref(), proof.as_bytes(), MAGIC].concat();
    file.write_all(&end).and_then(|()| file.sync_all()).with_context(failed)
}

/// The note of a file, unchecked: to know what to ask the user for. `None` for the first format.
pub(crate) fn glance(path: &Path) -> anyhow::Result<Option<Note>> {
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    Ok(ending(&mut file, length)?.map(|(note, _)| note))
}

/// Reads all of `path` once and hands it to `copy`; what is told afterwards is true of the copy. Blocking.
pub(crate) fn read(path: &Path, copy: &mut impl Write) -> anyhow::Result<Complete> {
    let failed = || format!("cannot read or copy `{}`", path.display());
    let mut file = open(path)?;
    let length = file.metadata().with_context(failed)?.len();
    let Some((note, body)) = ending(&mut file, length)? else {
        ensure!(ends_with_the_store(path)?, "it is cut off or damaged; use another copy");
        file.seek(SeekFrom::Start(0)).with_context(failed)?;
        pass(&mut file, length, &mut Hash::new(&SHA256), copy).with_context(failed)?;
        copy.flush().with_context(failed)?;
        return Ok(Complete { note: None, hash: Vec::new(), proof: Vec::new() });
    };
    file.seek(SeekFrom::Start(0)).with_context(failed)?;
    let mut hash = Hash::new(&SHA256);
    pass(&mut file, body, &mut hash, copy).with_context(failed)?;
    let mut tail = [0; TAIL as usize];
    file.read_exact(&mut tail).with_context(failed)?;
    copy.write_all(&tail).and_then(|()| copy.flush()).with_context(failed)?;
    let (told, rest) = tail.split_at(SHA256_OUTPUT_LEN);
    let hash = hash.finish().as_ref().to_vec();
    ensure!(hash == told, "it is damaged: its checksum does not fit; use another copy");
    Ok(Complete { note: Some(note), hash, proof: rest[..PROOF_LEN].to_vec() })
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot open `{}`", path.display()))
}

/// The note, and how much of the file the hash is of. `None` when the file does not end like one of
/// this format.
fn ending(file: &mut File, length: u64) -> anyhow::Result<Option<(Note, u64)>> {
    let damaged = "it is damaged: it does not say whose it is; use another copy";
    let mut magic = [0; MAGIC.len()];
    let Some(hashed) = length.checked_sub(TAIL).filter(|hashed| *hashed > 4) else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(length - MAGIC.len() as u64))?;
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Ok(None);
    }
    let mut size = [0; 4];
    file.seek(SeekFrom::Start(hashed - 4))?;
    file.read_exact(&mut size)?;
    let size = u32::from_be_bytes(size);
    if size > MAX_NOTE || u64::from(size) > hashed - 4 {
        bail!(damaged);
    }
    let mut text = vec![0; size as usize];
    file.seek(SeekFrom::Start(hashed - 4 - u64::from(size)))?;
    file.read_exact(&mut text)?;
    Ok(Some((serde_json::from_slice(&text).context(damaged)?, hashed)))
}

/// Whether nothing comes after the store backup: else the end of a newer file is missing or damaged.
fn ends_with_the_store(path: &Path) -> anyhow::Result<bool> {
    let mut stream = flate2::bufread::GzDecoder::new(BufReader::new(open(path)?));
    // What does not unzip is told better by the store, which looks at all of it.
    if io::copy(&mut stream, &mut io::sink()).is_err() {
        return Ok(true);
    }
    Ok(stream.into_inner().fill_buf()?.is_empty())
}

/// Hands exactly `length` bytes on, in pieces.
fn pass(from: &mut impl Read, length: u64, hash: &mut Hash, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        match from.read(&mut piece[..most])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                hash.update(&piece[..read]);
                to.write_all(&piece[..read])?;
                left -= read as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;

    use smr_pki::Costs;

    use super::*;

    pub(crate) const CHEAP: Costs = Costs { memory_kib: 8, passes: 1 };

    pub(crate) fn phrase() -> SecretString {
        SecretString::from("correct horse battery".to_owned())
    }

    pub(crate) fn note() -> Note {
        Note { cluster: "c".into(), node: 3, name: "n3".into(), epoch: 7, key: None }
    }

    /// Anything zipped is a store backup to this module.
    fn zipped(dir: &Path) -> PathBuf {
        let path = dir.join("b");
        let mut stream = flate2::write::GzEncoder::new(
            File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        stream.write_all(&[7; 500]).unwrap();
        stream.finish().unwrap();
        path
    }

    #[test]
    fn any_changed_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = zipped(dir.path());
        let key = DataKey::from_bytes(&[7; 32]);
        finish(&path, &note(), &key).unwrap();
        let mut copy = Vec::new();
        let complete = read(&path, &mut copy).unwrap();
        let good = std::fs::read(&path).unwrap();
        assert_eq!((copy, complete.note.clone()), (good.clone(), Some(note())));
        assert!(complete.is_proved_by(&key));
        assert!(!complete.is_proved_by(&DataKey::from_bytes(&[8; 32])));

        let found = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let read = read(&path, &mut io::sink());
            // A file of the first format is what the store alone can judge.
            !read.is_ok_and(|it| it.is_proved_by(&key))
        };
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(found(&bad), "byte {at}");
        }
        for end in 0..good.len() {
            assert!(found(&good[..end]), "cut off at {end}");
        }
        assert!(found(&[&good[..], b"x"].concat()), "more than there was");
    }

    #[test]
    fn a_file_of_the_first_format_is_one_only_when_nothing_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = zipped(dir.path());
        assert_eq!(read(&path, &mut io::sink()).unwrap().note, None);
        assert_eq!(glance(&path).unwrap(), None);
        finish(&path, &note(), &DataKey::from_bytes(&[7; 32])).unwrap();
        assert_eq!(glance(&path).unwrap(), Some(note()));
        let length = std::fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
        let error = read(&path, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("cut off"), "{error}");
    }

    #[test]
    fn the_key_is_in_the_note_for_those_with_the_passphrase() {
        let key = DataKey::from_bytes(&[7; 32]);
        let mut note = note();
        assert!(note.open(&phrase()).unwrap().is_none());
        note.seal(&KeyLock::new(&phrase(), CHEAP).unwrap(), &key).unwrap();
        let opened = note.open(&phrase()).unwrap().unwrap();
        assert_eq!(opened.fingerprint("a", b"b"), key.fingerprint("a", b"b"));
        // A note of another cluster does not take it over.
        note.cluster = "d".into();
        assert!(note.open(&phrase()).is_err());
    }
}
