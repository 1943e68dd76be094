//! Export and import: the context as JSON, deflated, AES-256-GCM under a random key with the
//! nonce in front, lower-case hex.

use std::{
    fmt,
    io::{Read as _, Write as _},
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::{Context, ContextError};

const KEY_LEN: usize = 32;
/// More than any context has; keeps a crafted text from inflating without end.
const MAX_JSON: u64 = 1 << 20;

/// A context encrypted for transport. Whoever has both parts has the credentials, so `Display`
/// belongs on the standard output of `context export` only, and `Debug` shows nothing.
#[derive(Clone)]
pub struct ExportedContext {
    text: String,
    key: SecretString,
}

impl ExportedContext {
    /// Joins text and key as a user gave them: in two arguments, in one with white space between,
    /// or with the key read from elsewhere.
    ///
    /// # Errors
    /// [`ContextError::Parts`] unless there are two parts in all.
    pub fn from_parts<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<Self, ContextError> {
        let words: Vec<&str> = parts.into_iter().flat_map(str::split_whitespace).collect();
        match words[..] {
            [text, key] => Ok(Self { text: text.to_owned(), key: key.into() }),
            _ => Err(ContextError::Parts { found: words.len() }),
        }
    }

    /// The encrypted text, hex.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key, hex.
    pub fn key(&self) -> &SecretString {
        &self.key
    }

    /// Decrypts the context. It keeps the name it was exported under; what was imported may come
    /// from anywhere, so name, address and bundle are checked.
    ///
    /// # Errors
    /// All that can be wrong with an exported context, and those of [`Context::new`] and
    /// [`Context::credentials`].
    pub fn open(&self) -> Result<Context, ContextError> {
        let mut text = Zeroizing::new(decode_text(&self.text)?);
        let key = decode_key(self.key.expose_secret())?;
        let (nonce, sealed) = text.split_at_mut(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("split at the nonce's length");
        let deflated = cipher(&key)
            .open_in_place(nonce, Aad::empty(), sealed)
            .map_err(|_| ContextError::DoesNotOpen)?;
        let mut json = Zeroizing::new(Vec::new());
        DeflateDecoder::new(&*deflated)
            .take(MAX_JSON)
            .read_to_end(&mut json)
            .map_err(|_| ContextError::Contents)?;
        let context =
            Context::from_json(&json, "the exported text").map_err(|_| ContextError::Contents)?;
        let context = Context::new(&context.name, &context.api_url, context.bundle)?;
        context.credentials()?;
        Ok(context)
    }
}

impl fmt::Display for ExportedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text, self.key.expose_secret())
    }
}

impl fmt::Debug for ExportedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExportedContext([REDACTED])")
    }
}

impl Context {
    /// Encrypts the context under a new random key.
    ///
    /// # Errors
    /// [`ContextError::Random`].
    pub fn export(&self) -> Result<ExportedContext, ContextError> {
        let mut random = Zeroizing::new([0; KEY_LEN + NONCE_LEN]);
        SystemRandom::new().fill(&mut *random).map_err(|_| ContextError::Random)?;
        let (key, nonce) = random.split_at(KEY_LEN);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&self.to_json()).map_err(|_| ContextError::Contents)?;
        let mut body = Zeroizing::new(encoder.finish().map_err(|_| ContextError::Contents)?);
        let unique = Nonce::try_assume_unique_for_key(nonce).expect("the rest of the random bytes");
        let tag = cipher(key)
            .seal_in_place_separate_tag(unique, Aad::empty(), &mut body)
            .map_err(|_| ContextError::Contents)?;
        let text = [nonce, &body, tag.as_ref()].concat();
        Ok(ExportedContext { text: hex::encode(text), key: hex::encode(key).into() })
    }
}

fn cipher(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes"))
}

fn decode_text(text: &str) -> Result<Vec<u8>, ContextError> {
    let other = text.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit());
    if let Some((index, character)) = other {
        return Err(ContextError::TextNotHex { character, position: index + 1 });
    }
    let cut_off = ContextError::TextCutOff { digits: text.len() };
    match hex::decode(text) {
        Ok(bytes) if bytes.len() > NONCE_LEN + MAX_TAG_LEN => Ok(bytes),
        _ => Err(cut_off),
    }
}

fn decode_key(key: &str) -> Result<Zeroizing<Vec<u8>>, ContextError> {
    if !key.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(ContextError::KeyNotHex);
    }
    match hex::decode(key) {
        Ok(bytes) if bytes.len() == KEY_LEN => Ok(Zeroizing::new(bytes)),
        _ => Err(ContextError::KeyLength { digits: key.len() }),
    }
}
