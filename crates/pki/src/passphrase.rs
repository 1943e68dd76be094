//! The data key under a passphrase, for files that have to be opened when everything else is lost.
//!
//! Argon2id makes a key of the passphrase and random salt, ChaCha20-Poly1305 seals with it. A lock is made
//! where the passphrase is typed and may be sent to a node; the passphrase never leaves the place.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::DataKey;

const KEY_LEN: usize = 32;
const SALT_LEN: usize = 16;
const ALGORITHM: &str = "argon2id";
/// What opening a file may cost at most, whoever wrote it.
/// What opening costs unless said otherwise: 64 MiB and a fraction of a second.
const COSTS: Costs = Costs { memory_kib: 64 << 10, passes: 3 };
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 32;
const MAX_LANES: u32 = 16;
/// The fewest characters a passphrase has: guessing it is all that an attacker has to do.
const MIN_LENGTH: usize = 12;

/// Why nothing was locked or opened. Never contains a passphrase or a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockError {
    /// Too easy to guess.
    #[error("the passphrase has {found} characters, it needs at least {MIN_LENGTH}")]
    TooShort {
        /// Its characters.
        found: usize,
    },
    /// What the file says about its passphrase makes no sense, or asks for more than is allowed.
    #[error("the sealed key is damaged or was made by a newer version: {what}")]
    Malformed {
        /// What does not fit.
        what: &'static str,
    },
    /// Another passphrase, another place, or damage; these cannot be told apart.
    #[error("the passphrase is not that of this file, or the file was changed")]
    Refused,
    /// The system has no randomness or no memory to give.
    #[error("cannot get {what}")]
    System {
        /// What is missing.
        what: &'static str,
    },
}

/// How a key is made of a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipe {
    algorithm: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    /// Base64.
    salt: String,
}

impl Recipe {
    fn key(&self, passphrase: &SecretString) -> Result<Zeroizing<[u8; KEY_LEN]>, LockError> {
        let malformed = |what| LockError::Malformed { what };
        if self.algorithm != ALGORITHM {
            return Err(malformed("its algorithm is unknown"));
        }
        if self.memory_kib > MAX_MEMORY_KIB || self.passes > MAX_PASSES || self.lanes > MAX_LANES {
            return Err(malformed("its passphrase costs too much"));
        }
        let salt = STANDARD.decode(&self.salt).map_err(|_| malformed("its salt"))?;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_LEN))
            .map_err(|_| malformed("the costs of its passphrase"))?;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose_secret().as_bytes(), &salt, &mut *key)
            .map_err(|_| malformed("the costs of its passphrase"))?;
        Ok(key)
    }
}

/// What opening a lock costs, on purpose: it is what every guess costs, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Memory in KiB, at least 8.
    pub memory_kib: u32,
    /// How often it is gone through.
    pub passes: u32,
}

impl Default for Costs {
    fn default() -> Self {
        COSTS
    }
}

/// What a passphrase can seal a key with; salted, so that it is another one each time.
pub struct KeyLock {
    recipe: Recipe,
    key: Zeroizing<[u8; KEY_LEN]>,
}

impl KeyLock {
    /// A lock that this passphrase opens.
    ///
    /// # Errors
    /// [`LockError::TooShort`], [`LockError::System`].
    pub fn new(passphrase: &SecretString, costs: Costs) -> Result<Self, LockError> {
        let found = passphrase.expose_secret().chars().count();
        if found < MIN_LENGTH {
            return Err(LockError::TooShort { found });
        }
        let mut salt = [0; SALT_LEN];
        random(&mut salt)?;
        let recipe = Recipe {
            algorithm: ALGORITHM.to_owned(),
            memory_kib: costs.memory_kib,
            passes: costs.passes,
            lanes: 1,
            salt: STANDARD.encode(salt),
        };
        let key = recipe.key(passphrase)?;
        Ok(Self { recipe, key })
    }

    /// As one word, to be sent over a connection on which both sides have proved who they are. Whoever
    /// has it can open what it seals.
    pub fn expose_for_sealing(&self) -> Zeroizing<String> {
        let recipe = serde_json::to_vec(&self.recipe).expect("a recipe is plain data");
        let key = Zeroizing::new(STANDARD.encode(*self.key));
        Zeroizing::new(format!("{}.{}", STANDARD.encode(recipe), *key))
    }

    /// What [`KeyLock::expose_for_sealing`] made.
    ///
    /// # Errors
    /// [`LockError::Malformed`].
    pub fn from_word(word: &str) -> Result<Self, LockError> {
        let malformed = || LockError::Malformed { what: "it is not a lock" };
        let (recipe, key) = word.split_once('.').ok_or_else(malformed)?;
        let recipe = STANDARD.decode(recipe).map_err(|_| malformed())?;
        let recipe = serde_json::from_slice(&recipe).map_err(|_| malformed())?;
        let bytes = STANDARD.decode(key).map(Zeroizing::new).map_err(|_| malformed())?;
        let key = <[u8; KEY_LEN]>::try_from(bytes.as_slice()).map_err(|_| malformed())?;
        Ok(Self { recipe, key: Zeroizing::new(key) })
    }

    /// Seals the data key for the place `aad`: it opens nowhere else.
    ///
    /// # Errors
    /// [`LockError::System`].
    pub fn seal(&self, key: &DataKey, aad: &str) -> Result<LockedKey, LockError> {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let mut text = Zeroizing::new(key.expose_for_join().as_bytes().to_vec());
        let sealing = cipher(&self.key);
        let tag = sealing
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad.as_bytes()),
                &mut text,
            )
            .map_err(|_| LockError::System { what: "a sealed key" })?;
        let mut sealed = text.to_vec();
        sealed.extend_from_slice(tag.as_ref());
        Ok(LockedKey {
            recipe: self.recipe.clone(),
            nonce: STANDARD.encode(nonce),
            sealed: STANDARD.encode(sealed),
        })
    }
}

impl fmt::Debug for KeyLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLock([REDACTED])")
    }
}

/// A data key sealed under a passphrase, with everything but the passphrase to open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedKey {
    recipe: Recipe,
    /// Base64.
    nonce: String,
    /// Base64.
    sealed: String,
}

impl LockedKey {
    /// Opens what was sealed for the place `aad`.
    ///
    /// # Errors
    /// [`LockError::Refused`], [`LockError::Malformed`].
    pub fn open(&self, passphrase: &SecretString, aad: &str) -> Result<DataKey, LockError> {
        let malformed = |what| LockError::Malformed { what };
        let nonce = STANDARD.decode(&self.nonce).map_err(|_| malformed("its nonce"))?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| malformed("its nonce"))?;
        let mut text =
            Zeroizing::new(STANDARD.decode(&self.sealed).map_err(|_| malformed("its text"))?);
        let key = self.recipe.key(passphrase)?;
        let plain = cipher(&key)
            .open_in_place(nonce, Aad::from(aad.as_bytes()), &mut text)
            .map_err(|_| LockError::Refused)?;
        let plain = std::str::from_utf8(plain).map_err(|_| malformed("its text"))?;
        DataKey::from_join(plain).map_err(|_| malformed("its text"))
    }
}

fn cipher(key: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key has 32 bytes"))
}

fn random(bytes: &mut [u8]) -> Result<(), LockError> {
    SystemRandom::new().fill(bytes).map_err(|_| LockError::System { what: "random bytes" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Costs = Costs { memory_kib: 8, passes: 1 };

    fn phrase(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[test]
    fn a_key_opens_only_with_its_passphrase_in_its_place() {
        let key = DataKey::from_bytes(&[7; 32]);
        let good = phrase("correct horse battery");
        let lock = KeyLock::new(&good, CHEAP).unwrap();
        let sent = KeyLock::from_word(&lock.expose_for_sealing()).unwrap();
        let locked = sent.seal(&key, "backup of c").unwrap();
        let text = serde_json::to_string(&locked).unwrap();
        let locked: LockedKey = serde_json::from_str(&text).unwrap();
        let opened = locked.open(&good, "backup of c").unwrap();
        assert_eq!(opened.fingerprint("a", b"b"), key.fingerprint("a", b"b"));
        let refused = |phrase: &SecretString, aad| locked.open(phrase, aad).unwrap_err();
        assert_eq!(refused(&good, "backup of d"), LockError::Refused);
        assert_eq!(refused(&phrase("correct horse batterx"), "backup of c"), LockError::Refused);
        assert!(!format!("{sent:?} {locked:?}").contains("correct"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_it_costs_anything() {
        assert_eq!(
            KeyLock::new(&phrase("short"), CHEAP).unwrap_err(),
            LockError::TooShort { found: 5 }
        );
        assert!(KeyLock::from_word("?").is_err());
        assert!(KeyLock::from_word("e30=.AA==").is_err());
        let lock = KeyLock::new(&phrase("correct horse battery"), CHEAP).unwrap();
        let locked = lock.seal(&DataKey::from_bytes(&[7; 32]), "p").unwrap();
        let changed = |change: fn(&mut LockedKey)| {
            let mut locked = locked.clone();
            change(&mut locked);
            locked.open(&phrase("correct horse battery"), "p").unwrap_err().to_string()
        };
        assert!(changed(|it| it.recipe.memory_kib = u32::MAX).contains("costs too much"));
        assert!(changed(|it| it.recipe.passes = 0).contains("costs of its passphrase"));
        assert!(changed(|it| it.recipe.algorithm = "x".into()).contains("algorithm"));
        assert!(changed(|it| it.nonce = "AA==".into()).contains("nonce"));
        assert!(changed(|it| it.recipe.passes = 2).contains("not that of this file"));
    }
}
