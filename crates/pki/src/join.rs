//! Join tokens: all that a machine needs to become a node, in one line of text.
//!
//! `smrjoin1-` is followed by base64url of: the number of bytes (2, big-endian), a checksum (8
//! bytes of SHA-256), and [`Payload`], deflated.

mod error;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    io::{Read as _, Write as _},
    time::Duration,
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use jiff::Timestamp;
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom as _, SystemRandom},
};
use rustls::pki_types::CertificateDer;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use error::JoinTokenError;

use crate::{
    Authority, Credentials, PkiError, PrivateKey, Role, Subject, TrustBundle, context::normal_url,
    trust::sha256_hex,
};

const NAME: &str = "smrjoin";
const VERSION: u8 = 1;
const CHECKSUM: usize = 8;
const HEADER: usize = 2 + CHECKSUM;
/// More than any token has; keeps a crafted one from inflating without end.
const MOST_BYTES: u64 = 1 << 15;
/// More than the tokens made here have: their buffers do not grow and leave copies behind.
const ROOM: usize = 8192;
/// Most addresses in a token.
const MOST_APIS: usize = 16;

/// Lets the last character carry bits that do not count; the checksum says whether all is well.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Where the cluster is, how to recognise it, and a short-lived certificate to join it with.
/// Whoever has it can join, so `Display` belongs where the token is handed out only; `Debug` shows
/// no key.
#[derive(Clone)]
pub struct JoinToken {
    id: String,
    apis: Vec<String>,
    ca_hash: String,
    credentials: Credentials,
}

/// The contents of a token. Deflating takes care of what the two certificates have in common.
#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    id: &'a str,
    apis: Vec<&'a str>,
    ca_hash: [u8; 32],
    key: &'a [u8],
    certificate: &'a [u8],
    authority: &'a [u8],
    /// Further authorities that nodes may be of while the cluster changes its authority.
    others: Vec<&'a [u8]>,
}

impl Payload<'_> {
    fn encode(&self) -> SecretString {
        let plain = postcard::to_extend(self, Vec::with_capacity(ROOM));
        let plain = Zeroizing::new(plain.expect("bytes and text encode"));
        let deflated = deflate(&plain);
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER + deflated.len()));
        let length = u16::try_from(deflated.len()).expect("contents are limited");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&checksum(&deflated));
        bytes.extend_from_slice(&deflated);
        let mut text = String::with_capacity(16 + bytes.len().div_ceil(3) * 4);
        text.push_str(&format!("{NAME}{VERSION}-"));
        BASE64.encode_string(&*bytes, &mut text);
        text.into()
    }
}

impl JoinToken {
    /// A new token of `authority` for the cluster that answers at `apis` (`https://host:port`, or
    /// just `host:port`), valid for `lifetime` from `now`. Record its id, its serial number
    /// (`credentials().identity().serial`) and its end where it can be revoked.
    ///
    /// # Errors
    /// [`JoinTokenError::Addresses`], [`JoinTokenError::BadUrl`], [`JoinTokenError::Pki`].
    pub fn issue(
        authority: &Authority,
        apis: &[String],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Self, JoinTokenError> {
        let apis = normal_apis(apis.iter().map(String::as_str))?;
        let mut random = [0; 5];
        SystemRandom::new().fill(&mut random).map_err(|err| PkiError::Crypto {
            action: "get random bytes",
            source: err.to_string().into(),
        })?;
        let id = hex::encode(random);
        let credentials = authority.issue(&Subject::joiner(&id)?, lifetime, now)?;
        Ok(Self { id, apis, ca_hash: authority.hash(), credentials })
    }

    /// The same token for a cluster that changes its authority, whose nodes have certificates of
    /// any in `bundle`; the first of them is the one that signed the token.
    pub(crate) fn with_authorities(self, bundle: TrustBundle) -> Self {
        Self { credentials: self.credentials.with_authorities(bundle), ..self }
    }

    /// Reads a token; white space around and in it does not matter.
    ///
    /// # Errors
    /// [`JoinTokenError`] says what is wrong; none for a token that can be used at `now`.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, JoinTokenError> {
        let (bytes, rest) = decode(text)?;
        let (header, deflated) = bytes
            .split_at_checked(HEADER)
            .ok_or(JoinTokenError::CutOff { found: bytes.len(), expected: HEADER })?;
        let expected = HEADER + usize::from(u16::from_be_bytes([header[0], header[1]]));
        if bytes.len() < expected {
            return Err(JoinTokenError::CutOff { found: bytes.len(), expected });
        }
        if bytes.len() > expected || rest || header[2..] != checksum(deflated) {
            return Err(JoinTokenError::Tampered);
        }
        let unreadable = || JoinTokenError::Contents { what: "what a token holds" };
        let mut plain = Zeroizing::new(Vec::with_capacity(ROOM));
        DeflateDecoder::new(deflated)
            .take(MOST_BYTES)
            .read_to_end(&mut plain)
            .map_err(|_| unreadable())?;
        match postcard::take_from_bytes::<Payload<'_>>(&plain) {
            Ok((payload, [])) => Self::read(&payload, now),
            _ => Err(unreadable()),
        }
    }

    fn read(payload: &Payload<'_>, now: Timestamp) -> Result<Self, JoinTokenError> {
        const ORIGIN: &str = "the join token";
        let (found, expected) = (sha256_hex(payload.authority), hex::encode(payload.ca_hash));
        if found != expected {
            return Err(JoinTokenError::OtherAuthority { found, expected });
        }
        let apis = normal_apis(payload.apis.iter().copied())
            .map_err(|_| JoinTokenError::Contents { what: "addresses of a cluster" })?;
        let der = |der: &[u8]| CertificateDer::from(der.to_vec());
        let mut authorities = vec![der(payload.authority)];
        authorities.extend(payload.others.iter().copied().map(der));
        let credentials = Credentials::new(
            PrivateKey::from_der(payload.key, ORIGIN)?,
            der(payload.certificate),
            TrustBundle::from_der(authorities, ORIGIN)?,
            ORIGIN,
        )?;
        let identity = credentials.identity();
        if identity.role != Role::Join || identity.token_id() != Some(payload.id) {
            return Err(JoinTokenError::Contents { what: "a certificate to join with" });
        }
        match credentials.check(ORIGIN, now) {
            Ok(()) => {}
            Err(PkiError::Expired { not_after, .. }) => {
                return Err(JoinTokenError::Expired { not_after });
            }
            Err(PkiError::NotYetValid { not_before, now, .. }) => {
                return Err(JoinTokenError::NotYetValid { not_before, now });
            }
            Err(err) => return Err(err.into()),
        }
        Ok(Self { id: payload.id.to_owned(), apis, ca_hash: expected, credentials })
    }

    /// The token as one line of text without spaces.
    pub fn encode(&self) -> SecretString {
        let mut ca_hash = [0; 32];
        hex::decode_to_slice(&self.ca_hash, &mut ca_hash).expect("the hash is 64 hex digits");
        let (authority, others) = self.credentials.authorities().split_first();
        let payload = Payload {
            id: &self.id,
            apis: self.apis.iter().map(String::as_str).collect(),
            ca_hash,
            key: self.credentials.key().der(),
            certificate: self.credentials.certificate(),
            authority,
            others: others.iter().map(|other| &**other).collect(),
        };
        payload.encode()
    }

    /// The id it is recorded and revoked under; also [`crate::Identity::token_id`] of whoever
    /// joins with it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the cluster answers, `https://host:port`; at least one.
    pub fn apis(&self) -> &[String] {
        &self.apis
    }

    /// SHA-256 of the authority's certificate (DER), lower-case hex.
    pub fn ca_hash(&self) -> &str {
        &self.ca_hash
    }

    /// Key and certificate to join with, and the cluster's authority.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use secrecy::ExposeSecret as _;
        f.write_str(self.encode().expose_secret())
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("id", &self.id)
            .field("apis", &self.apis)
            .field("ca_hash", &self.ca_hash)
            .finish_non_exhaustive()
    }
}

/// Name and version off, base64 off. A text that ends early still decodes: the flag says whether
/// there was a character too many for whole bytes.
fn decode(text: &str) -> Result<(Zeroizing<Vec<u8>>, bool), JoinTokenError> {
    let mut line = Zeroizing::new(String::with_capacity(text.len()));
    line.extend(text.chars().filter(|c| !c.is_whitespace()));
    let rest = line.strip_prefix(NAME).ok_or(JoinTokenError::NotAToken)?;
    let (version, mut body) = match rest.split_once('-') {
        Some(parts) => parts,
        None if rest.is_empty() || rest == VERSION.to_string() => {
            return Err(JoinTokenError::CutOff { found: 0, expected: HEADER });
        }
        None => return Err(JoinTokenError::NotAToken),
    };
    if version.is_empty() || version.len() > 3 || !version.bytes().all(|b| b.is_ascii_digit()) {
        return Err(JoinTokenError::NotAToken);
    }
    if version != VERSION.to_string() {
        return Err(JoinTokenError::Version { found: version.to_owned(), supported: VERSION });
    }
    if !body.is_ascii() || body.len() as u64 > MOST_BYTES * 2 {
        return Err(JoinTokenError::Tampered);
    }
    let rest = body.len() % 4 == 1; // six bits are no byte
    if rest {
        body = &body[..body.len() - 1];
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(body.len()));
    BASE64.decode_vec(body, &mut bytes).map_err(|_| JoinTokenError::Tampered)?;
    Ok((bytes, rest))
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..CHECKSUM]);
    sum
}

fn deflate(plain: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut sink = Zeroizing::new(Vec::with_capacity(plain.len() + 64));
    let mut encoder = DeflateEncoder::new(&mut *sink, Compression::best());
    encoder.write_all(plain).expect("writing to memory succeeds");
    encoder.finish().expect("writing to memory succeeds");
    sink
}

fn normal_apis<'a>(
    apis: impl ExactSizeIterator<Item = &'a str>,
) -> Result<Vec<String>, JoinTokenError> {
    if !(1..=MOST_APIS).contains(&apis.len()) {
        return Err(JoinTokenError::Addresses { most: MOST_APIS });
    }
    apis.map(|api| {
        normal_url(api)
            .ok()
            .filter(|url| url.len() <= 300)
            .ok_or_else(|| JoinTokenError::BadUrl { url: api.to_owned() })
    })
    .collect()
}
