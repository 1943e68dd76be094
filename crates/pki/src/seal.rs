//! Secrets at rest: sealed with a key that lies beside the data but not in it, and keyed
//! fingerprints of secrets that can be shown without giving anything to guess at.

use std::{fmt, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::SecretSlice;
use zeroize::Zeroizing;

use crate::{PkiError, files};

const KEY_LEN: usize = 32;
/// First byte of what [`DataKey::seal`] makes.
const VERSION: u8 = 1;

/// Bytes that are wiped on drop and not printed.
pub type SecretBytes = SecretSlice<u8>;

/// The cluster's key for secrets at rest; every node has it in a file of its own. What is used are two keys derived from it, one for
/// sealing and one for fingerprints.
pub struct DataKey {
    bytes: Zeroizing<[u8; KEY_LEN]>,
    sealing: LessSafeKey,
    fingerprint: hmac::Key,
}

/// Why sealed text did not open, or nothing could be sealed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// Not what [`DataKey::seal`] writes.
    #[error("sealed value is not base64 or too short")]
    Malformed,
    /// Sealed by a newer version.
    #[error("sealed value has format {found}, this version reads {VERSION}")]
    Version {
        /// The value's format.
        found: u8,
    },
    /// Another data key, another place (`aad`), or damage; these cannot be told apart.
    #[error("sealed value does not open: it is damaged, was moved, or another data key sealed it")]
    Refused,
    /// The system has no randomness to give.
    #[error("cannot get random bytes")]
    Random,
}

impl DataKey {
    /// Loads the key from `path`, or makes one there (32 bytes, mode 0600). Two that make it
    /// at the same time get the same key.
    ///
    /// # Errors
    /// Unreadable files; [`PkiError::Damaged`] for a file that is not 32 bytes. Never overwrites.
    pub fn load_or_create(path: &Path) -> Result<Self, PkiError> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        SystemRandom::new().fill(&mut *bytes).map_err(|err| PkiError::Crypto {
            action: "get random bytes",
            source: err.to_string().into(),
        })?;
        if files::create_private(path, &*bytes)? {
            return Ok(Self::from_bytes(&bytes));
        }
        Self::load(path)?.ok_or_else(|| PkiError::Read {
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// Loads the key from `path`; `None` when there is no file.
    ///
    /// # Errors
    /// See [`DataKey::load_or_create`].
    pub fn load(path: &Path) -> Result<Option<Self>, PkiError> {
        let Some(bytes) = files::read_private(path)? else { return Ok(None) };
        let bytes =
            <&[u8; KEY_LEN]>::try_from(bytes.as_slice()).map_err(|_| PkiError::Damaged {
                origin: crate::authority::quoted(path),
                what: "data key (32 bytes)",
            })?;
        Ok(Some(Self::from_bytes(bytes)))
    }

    /// The key made of these 32 random bytes.
    pub fn from_bytes(bytes: &[u8; KEY_LEN]) -> Self {
        let sealing = derive(bytes, b"smr seal v1");
        let fingerprint = derive(bytes, b"smr fingerprint v1");
        let sealing = UnboundKey::new(&AES_256_GCM, &*sealing).expect("the key has 32 bytes");
        Self {
            bytes: Zeroizing::new(*bytes),
            sealing: LessSafeKey::new(sealing),
            fingerprint: hmac::Key::new(hmac::HMAC_SHA256, &*fingerprint),
        }
    }

    /// Writes the key to `path` (mode 0600), where there is no other yet.
    ///
    /// # Errors
    /// [`PkiError::OtherDataKey`] when the file holds another key, which is kept.
    pub fn save(&self, path: &Path) -> Result<(), PkiError> {
        if files::create_private(path, &*self.bytes)? {
            return Ok(());
        }
        match Self::load(path)? {
            Some(there) if *there.bytes == *self.bytes => Ok(()),
            _ => Err(PkiError::OtherDataKey { path: path.to_owned() }),
        }
    }

    /// The key itself as base64, to be handed to a machine that was admitted to the cluster, over
    /// a connection on which both sides have proved who they are, and to nobody else.
    pub fn expose_for_join(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.bytes))
    }

    /// What a machine that joined makes of [`DataKey::expose_for_join`].
    ///
    /// # Errors
    /// [`PkiError::Damaged`].
    pub fn from_join(text: &str) -> Result<Self, PkiError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        match STANDARD.decode(text).map(Zeroizing::new) {
            Ok(decoded) if decoded.len() == KEY_LEN => bytes.copy_from_slice(&decoded),
            _ => {
                return Err(PkiError::Damaged {
                    origin: "the answer to the join request".to_owned(),
                    what: "data key (32 bytes, base64)",
                });
            }
        }
        Ok(Self::from_bytes(&bytes))
    }

    /// Seals `plain` for the place `aad` (such as an object's key): it opens nowhere else.
    pub fn seal(&self, aad: &str, plain: &[u8]) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
        let mut text = Zeroizing::new(plain.to_vec());
        let tag = self
            .sealing
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place(VERSION, aad)),
                &mut text,
            )
            .map_err(|_| SealError::Malformed)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len() + tag.as_ref().len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        sealed.extend_from_slice(tag.as_ref());
        Ok(STANDARD.encode(sealed))
    }

    /// Opens what [`DataKey::seal`] made for the same `aad`.
    pub fn open(&self, aad: &str, sealed: &str) -> Result<SecretBytes, SealError> {
        let bytes = STANDARD.decode(sealed).map_err(|_| SealError::Malformed)?;
        let (&version, rest) = bytes.split_first().ok_or(SealError::Malformed)?;
        if version != VERSION {
            return Err(SealError::Version { found: version });
        }
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Malformed)?;
        let mut text = Zeroizing::new(text.to_vec());
        let plain = self
            .sealing
            .open_in_place(nonce, Aad::from(place(version, aad)), &mut text)
            .map_err(|_| SealError::Refused)?;
        Ok(SecretBytes::from(plain.to_vec()))
    }

    /// A keyed hash (HMAC-SHA256, hex) of `bytes`; equal bytes under an equal `label` give
    /// equal text on this node, and nobody without the key can test a guess.
    pub fn fingerprint(&self, label: &str, bytes: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.fingerprint);
        context.update(&(label.len() as u64).to_be_bytes());
        context.update(label.as_bytes());
        context.update(bytes);
        hex::encode(context.sign())
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey([REDACTED])")
    }
}

fn place(version: u8, aad: &str) -> Vec<u8> {
    let mut place = Vec::with_capacity(1 + aad.len());
    place.push(version);
    place.extend_from_slice(aad.as_bytes());
    place
}

fn derive(bytes: &[u8; KEY_LEN], purpose: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(bytes)
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *key))
        .expect("HKDF-SHA256 gives 32 bytes");
    key
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn sealed_values_open_only_unchanged_in_their_place_and_with_their_key() {
        let key = DataKey::from_bytes(&[7; 32]);
        let sealed = key.seal("secret/shop/db#password", b"hunter2").unwrap();
        let opened = key.open("secret/shop/db#password", &sealed).unwrap();
        assert_eq!(opened.expose_secret(), b"hunter2");
        let refused = |key: &DataKey, aad: &str, text: &str| key.open(aad, text).unwrap_err();
        assert_eq!(refused(&key, "secret/shop/other#password", &sealed), SealError::Refused);
        let other = DataKey::from_bytes(&[8; 32]);
        assert_eq!(refused(&other, "secret/shop/db#password", &sealed), SealError::Refused);
        let mut bytes = STANDARD.decode(&sealed).unwrap();
        bytes[20] ^= 1;
        let damaged = STANDARD.encode(&bytes);
        assert_eq!(refused(&key, "secret/shop/db#password", &damaged), SealError::Refused);
        bytes[0] = 9;
        let newer = STANDARD.encode(&bytes);
        assert_eq!(
            refused(&key, "secret/shop/db#password", &newer).to_string(),
            "sealed value has format 9, this version reads 1"
        );
        for short in ["", "AQ==", "!", "AQAAAAAAAAAAAAAA"] {
            assert_eq!(refused(&key, "x", short), SealError::Malformed, "{short}");
        }
        assert_ne!(sealed, key.seal("secret/shop/db#password", b"hunter2").unwrap());
    }

    #[test]
    fn fingerprints_depend_on_key_label_and_bytes() {
        let key = DataKey::from_bytes(&[7; 32]);
        let print = key.fingerprint("spec", b"value");
        assert_eq!(print.len(), 64);
        assert_eq!(print, key.fingerprint("spec", b"value"));
        assert_ne!(print, key.fingerprint("specv", b"alue"));
        assert_ne!(print, DataKey::from_bytes(&[8; 32]).fingerprint("spec", b"value"));
    }

    #[test]
    fn a_joiner_gets_the_same_key_and_keeps_one_that_is_there() {
        use std::os::unix::fs::PermissionsExt as _;
        let key = DataKey::from_bytes(&[7; 32]);
        let handed = DataKey::from_join(&key.expose_for_join()).unwrap();
        let sealed = key.seal("a", b"hunter2").unwrap();
        assert_eq!(handed.open("a", &sealed).unwrap().expose_secret(), b"hunter2");
        for bad in ["", "!", "AAAA"] {
            assert_eq!(
                DataKey::from_join(bad).unwrap_err().to_string(),
                "the answer to the join request does not hold a readable data key (32 bytes, \
                 base64)"
            );
        }

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pki/data.key");
        handed.save(&path).unwrap();
        handed.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = DataKey::from_bytes(&[8; 32]);
        assert_eq!(
            other.save(&path).unwrap_err().to_string(),
            format!(
                "`{}` holds another data key already; what is sealed with it would be lost",
                path.display()
            )
        );
        assert_eq!(std::fs::read(&path).unwrap(), [7; 32]);
    }

    #[test]
    fn the_key_file_is_made_once_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pki/data.key");
        let first = DataKey::load_or_create(&path).unwrap();
        let again = DataKey::load_or_create(&path).unwrap();
        assert_eq!(first.fingerprint("a", b"b"), again.fingerprint("a", b"b"));
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(
            DataKey::load_or_create(&path).unwrap_err().to_string(),
            format!("`{}` does not hold a readable data key (32 bytes)", path.display())
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
    }
}
