//! Tokens that are whole, and every way in which they are not.

use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn apis() -> Vec<String> {
    vec!["https://192.0.2.1:1443".to_owned(), "node-2.example.com".to_owned()]
}

fn token() -> JoinToken {
    let authority = Authority::create(HOUR * 1000, now()).unwrap();
    JoinToken::issue(&authority, &apis(), HOUR, now()).unwrap()
}

fn refused(text: &str) -> String {
    JoinToken::parse(text, now()).unwrap_err().to_string()
}

/// The token with some of its contents exchanged and a checksum that fits.
fn forged<'a>(token: &'a JoinToken, forge: impl FnOnce(&mut Payload<'a>)) -> String {
    let mut ca_hash = [0; 32];
    hex::decode_to_slice(token.ca_hash(), &mut ca_hash).unwrap();
    let mut payload = Payload {
        id: token.id(),
        apis: token.apis().iter().map(String::as_str).collect(),
        ca_hash,
        key: token.credentials().key().der(),
        certificate: token.credentials().certificate(),
        authority: token.credentials().authorities().split_first().0,
        others: vec![],
    };
    forge(&mut payload);
    payload.encode().expose_secret().to_owned()
}

#[test]
fn a_token_is_one_short_line_that_comes_back_whole() {
    let token = token();
    let text = token.to_string();
    assert!(text.starts_with("smrjoin1-"));
    assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{text}");
    assert!(text.len() < 1400, "{} characters", text.len());
    let wrapped = format!("  {}\r\n {}\n", &text[..70], &text[70..]);
    for text in [text, wrapped] {
        let read = JoinToken::parse(&text, now()).unwrap();
        assert_eq!((read.id(), read.ca_hash()), (token.id(), token.ca_hash()));
        assert_eq!(read.apis(), ["https://192.0.2.1:1443", "https://node-2.example.com:1443"]);
        assert_eq!(
            read.credentials().bundle().expose_secret(),
            token.credentials().bundle().expose_secret()
        );
        let identity = read.credentials().identity();
        assert_eq!((identity.role, identity.token_id()), (Role::Join, Some(token.id())));
    }
}

#[test]
fn debug_shows_nothing_that_lets_in() {
    let token = token();
    let shown = format!("{token:?}");
    assert_eq!(
        shown,
        format!(
            "JoinToken {{ id: {:?}, apis: {:?}, ca_hash: {:?}, .. }}",
            token.id(),
            token.apis(),
            token.ca_hash()
        )
    );
}

#[test]
fn other_texts_and_other_versions_are_told_apart() {
    let not = "this is not a join token; it begins with `smrjoin1-`";
    for text in ["", "hello", "smr", "smrjoinx-abc", "smrjoin-abc", "smrjoin1abc", "é"] {
        assert_eq!(refused(text), not, "{text}");
    }
    let other = token().to_string().replacen("smrjoin1-", "smrjoin2-", 1);
    assert_eq!(refused(&other), "the join token has format 2, this version reads 1");
}

#[test]
fn a_token_without_its_end_is_cut_off_wherever_that_is() {
    let text = token().to_string();
    let whole = BASE64.decode(&text[9..]).unwrap().len();
    for length in "smrjoin".len()..text.len() {
        let message = refused(&text[..length]);
        assert!(message.starts_with("the join token is cut off: "), "{length}: {message}");
    }
    assert_eq!(
        refused(&text[..text.len() - 4]),
        format!("the join token is cut off: {} of {whole} bytes are there", whole - 3)
    );
}

#[test]
fn a_token_that_was_changed_is_refused() {
    let text = token().to_string();
    let changed = "the join token was changed on its way: its checksum does not fit";
    for at in (12..text.len() - 1).step_by(7) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(refused(&String::from_utf8(bytes).unwrap()), changed, "at {at}");
    }
    assert_eq!(refused(&format!("{text}AAAA")), changed);
    assert_eq!(refused(&format!("{text}!")), changed);
}

#[test]
fn a_token_is_good_for_its_time_only() {
    let token = token();
    let text = token.to_string();
    let at = |seconds: i64| {
        let now = now().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        JoinToken::parse(&text, now).map(drop).map_err(|err| err.to_string())
    };
    assert_eq!(at(-300), Ok(()), "clocks may differ by five minutes");
    assert_eq!(at(3600), Ok(()));
    assert_eq!(at(3601).unwrap_err(), "the join token expired at 2026-01-01T01:00:00Z");
    assert_eq!(
        at(-301).unwrap_err(),
        "the join token is not valid before 2025-12-31T23:55:00Z, and this machine's clock says \
         2025-12-31T23:54:59Z"
    );
}

#[test]
fn what_is_inside_must_fit_together() {
    let (token, other) = (token(), token());
    assert_eq!(
        refused(
            &forged(&token, |p| p.authority = other.credentials().authorities().split_first().0)
        ),
        format!(
            "the authority's certificate in the join token has the hash `{}`, the token says `{}`",
            other.ca_hash(),
            token.ca_hash()
        )
    );
    let mut hash = [0; 32];
    hex::decode_to_slice(other.ca_hash(), &mut hash).unwrap();
    let stranger = forged(&token, |p| {
        p.ca_hash = hash;
        p.authority = other.credentials().authorities().split_first().0;
    });
    assert_eq!(refused(&stranger), "the credentials of the join token cannot be used");
    assert_eq!(
        refused(&forged(&token, |p| p.key = other.credentials().key().der())),
        "the credentials of the join token cannot be used"
    );
    assert_eq!(
        refused(&forged(&token, |p| p.id = "0000000000")),
        "the join token does not hold a certificate to join with"
    );
    for apis in [vec![], vec!["https://a b"], vec!["x"; 17]] {
        assert_eq!(
            refused(&forged(&token, |p| p.apis = apis)),
            "the join token does not hold addresses of a cluster"
        );
    }
    // An administrator's certificate is no token, even if its authority is the right one.
    let authority = Authority::create(HOUR, now()).unwrap();
    let admin = Subject::user("kim", Role::Admin).unwrap();
    let admin = authority.issue(&admin, HOUR, now()).unwrap();
    let good = JoinToken::issue(&authority, &apis(), HOUR, now()).unwrap();
    let text = forged(&good, |p| {
        p.key = admin.key().der();
        p.certificate = admin.certificate();
    });
    assert_eq!(refused(&text), "the join token does not hold a certificate to join with");
}

#[test]
fn a_token_needs_addresses() {
    let authority = Authority::create(HOUR, now()).unwrap();
    let refused =
        |apis: &[String]| JoinToken::issue(&authority, apis, HOUR, now()).unwrap_err().to_string();
    assert_eq!(
        refused(&[]),
        "a join token needs at least one address of the cluster's API, and at most 16"
    );
    assert_eq!(
        refused(&["a b".to_owned()]),
        "`a b` is not an API address; write `https://HOST:PORT`"
    );
    let most: Vec<String> =
        (0..16).map(|n| format!("{n}{}example", "abcdefgh.".repeat(25))).collect();
    let long = JoinToken::issue(&authority, &most, HOUR, now()).unwrap();
    JoinToken::parse(&long.to_string(), now()).unwrap();
}

/// A token's frame with a checksum that fits around any contents.
fn framed(plain: &[u8]) -> String {
    let deflated = deflate(plain);
    let mut bytes = u16::try_from(deflated.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(&checksum(&deflated));
    bytes.extend_from_slice(&deflated);
    format!("smrjoin1-{}", BASE64.encode(bytes))
}

#[test]
fn a_small_token_cannot_inflate_without_end() {
    let text = framed(&vec![0; 1 << 20]);
    assert_eq!(refused(&text), "the join token does not hold what a token holds");
}

proptest! {
    #[test]
    fn no_text_makes_parsing_panic(text in any::<String>()) {
        prop_assert!(JoinToken::parse(&text, now()).is_err());
        let named = format!("smrjoin1-{text}");
        prop_assert!(JoinToken::parse(&named, now()).is_err());
    }

    #[test]
    fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let text = format!("smrjoin1-{}", BASE64.encode(&bytes));
        prop_assert!(JoinToken::parse(&text, now()).is_err());
        prop_assert!(JoinToken::parse(&framed(&bytes), now()).is_err());
    }

    #[test]
    fn no_change_of_the_contents_makes_parsing_panic(
        changes in proptest::collection::vec((0usize..2000, any::<u8>()), 1..8),
    ) {
        static TEXT: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let bytes = BASE64.decode(&token().to_string()[9..]).unwrap();
            let mut plain = Vec::new();
            DeflateDecoder::new(&bytes[HEADER..]).read_to_end(&mut plain).unwrap();
            plain
        });
        let mut plain = TEXT.clone();
        for (at, byte) in changes {
            let at = at % plain.len();
            plain[at] = byte;
        }
        // Some bytes may change and still be a token, such as those of an address.
        let _ = JoinToken::parse(&framed(&plain), now());
    }
}
