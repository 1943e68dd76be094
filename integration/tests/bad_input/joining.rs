//! Nodes that try to join and may not.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Output};

use jiff::Timestamp;
use smr_integration::{Lab, Node};
use smr_pki::{Authority, Context, ContextStore, JoinToken, Role, Subject};

use crate::{HOUR, node_with_authority, state, told::Told};

/// Where the cluster answers.
const API: &str = "https://10.77.0.1:1443";

/// A node that was never started, beside another one on its host.
pub(crate) struct Joiner<'a> {
    lab: &'a Lab,
    beside: &'a Node<'a>,
}

/// What the joiner brings; see [`Joiner::default`] of each field.
pub(crate) struct Attempt<'a> {
    /// Name of the node.
    pub(crate) name: &'a str,
    /// Its own address.
    pub(crate) ip: &'a str,
    /// Control API to join by; that of the token when empty.
    pub(crate) api: &'a str,
    /// Join token.
    pub(crate) token: Option<&'a str>,
    /// Context of a user.
    pub(crate) context: Option<&'a Context>,
}

/// An attempt that lacks a way in.
pub(crate) const ATTEMPT: Attempt<'static> =
    Attempt { name: "newcomer", ip: "10.77.0.1", api: "", token: None, context: None };

impl<'a> Joiner<'a> {
    /// Beside this node.
    pub(crate) fn new(lab: &'a Lab, beside: &'a Node<'a>) -> Self {
        Self { lab, beside }
    }

    /// Starts the node, which has to give up.
    pub(crate) fn join(&self, attempt: &Attempt<'_>) -> Output {
        let dir = self.beside.dir().join("joiner");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("home")).unwrap();
        if let Some(token) = attempt.token {
            fs::write(dir.join("token"), token).unwrap();
            // Who else may read it is for the administrator to say.
            fs::set_permissions(dir.join("token"), fs::Permissions::from_mode(0o644)).unwrap();
        }
        if let Some(context) = attempt.context {
            let store = ContextStore::open(dir.join("home/.smrctl/contexts"));
            store.save(context).unwrap();
            store.switch(context.name()).unwrap();
        }
        let join = match attempt.api {
            "" => String::new(),
            api => format!("join = [\"{api}\"]\n"),
        };
        // Without any of these it would begin a cluster of its own.
        let token_file = match attempt.context {
            Some(_) => String::new(),
            None => format!("token_file = \"{}\"\n", dir.join("token").display()),
        };
        let ip = attempt.ip;
        let config = format!(
            "[data]\ndir = \"{0}/data\"\n[docker]\nhost = \"unix://{1}\"\n\
             [node]\nname = \"{2}\"\nips = [\"{ip}\"]\n[api]\nlisten = [\"{ip}:2443\"]\n\
             [cluster]\nlisten = [\"{ip}:9313\"]\njoin_timeout = \"1s\"\n{join}{token_file}",
            dir.display(),
            self.lab.docker().socket().display(),
            attempt.name,
        );
        fs::write(dir.join("smr.toml"), config).unwrap();
        self.run(&dir)
    }

    fn run(&self, dir: &Path) -> Output {
        // A joiner that is let in would run for ever.
        let mut command = self.lab.command("timeout");
        command.arg("30").arg(self.beside.dir().join("bin/smr"));
        command.args(["start", "--config"]).arg(dir.join("smr.toml"));
        command.env("HOME", dir.join("home")).env("NO_COLOR", "1").env_remove("SMR_JOIN_TOKEN");
        command.output().unwrap()
    }
}

/// A token of `authority` that names the cluster's address and begins at `from`.
fn token(authority: &Authority, from: Timestamp) -> String {
    JoinToken::issue(authority, &[API.to_owned()], HOUR, from).unwrap().to_string()
}

fn context(authority: &Authority, role: Role, from: Timestamp) -> Context {
    let credentials =
        authority.issue(&Subject::user("someone", role).unwrap(), HOUR, from).unwrap();
    Context::new("someone", API, credentials.bundle()).unwrap()
}

/// The token with another character at `at`.
fn altered(token: &str, at: usize) -> String {
    let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

#[test]
fn who_may_not_join_is_told_why_and_the_cluster_stays_as_it_is() {
    let Some(lab) = Lab::require() else { return };
    let address = ["addr", "add", "10.77.0.1/32", "dev", "lo"];
    assert!(lab.command("ip").args(address).status().unwrap().success());
    let (node, authority) = node_with_authority(
        &lab,
        "[node]\nname = \"first\"\nips = [\"10.77.0.1\"]\n[api]\nlisten = [\"0.0.0.0:1443\"]\n\
         [cluster]\nlisten = [\"0.0.0.0:9212\"]\n",
    );
    let create = ["token", "create", "--quiet", "--uses", "9"];
    let good = node.ok(&create).unwrap();
    let deleted = node.ok(&create).unwrap();
    let id = JoinToken::parse(&deleted, Timestamp::now()).unwrap().id().to_owned();
    node.ok(&["token", "rm", &id]).unwrap();
    let before = (state(&node), node.ok(&["node", "ls", "--output", "name"]).unwrap());

    let now = Timestamp::now();
    let stranger = Authority::create(HOUR * 24, now).unwrap();
    let middle = good.len() / 2;
    let (foreign, late, early) =
        (token(&stranger, now), token(&authority, now - HOUR * 2), token(&authority, now + HOUR));
    let (garbled, next) = (altered(&good, middle), good.replacen("smrjoin1", "smrjoin7", 1));
    // Signed by the authority of this cluster, which does not know it: a backup was restored since.
    let unknown = token(&authority, now);
    let with = |token: &'static str| Attempt { token: Some(token), ..ATTEMPT };
    let by = |api: &'static str| Attempt { api, ..ATTEMPT };
    let viewer = context(&authority, Role::Viewer, now);
    let expired = context(&authority, Role::Admin, now - HOUR * 2);
    let wrong = context(&stranger, Role::Admin, now);
    let cases: &[(&str, Attempt<'_>)] = &[
        ("token: missing file", by("")),
        ("token: empty file", with("")),
        ("token: something else", with("let me in\n")),
        ("token: cut off", Attempt { token: Some(&good[..middle]), ..ATTEMPT }),
        ("token: beginning only", with("smrjoin1-")),
        ("token: tampered with", Attempt { token: Some(&garbled), ..ATTEMPT }),
        ("token: of a later version", Attempt { token: Some(&next), ..ATTEMPT }),
        ("token: expired", Attempt { token: Some(&late), ..ATTEMPT }),
        ("token: not valid yet, a clock is wrong", Attempt { token: Some(&early), ..ATTEMPT }),
        ("token: deleted", Attempt { token: Some(&deleted), ..ATTEMPT }),
        ("token: unknown to the cluster", Attempt { token: Some(&unknown), ..ATTEMPT }),
        ("token: of another cluster", Attempt { token: Some(&foreign), ..ATTEMPT }),
        (
            "address: nobody listens",
            Attempt { token: Some(&good), api: "https://10.77.0.1:9", ..ATTEMPT },
        ),
        (
            "address: no way there",
            Attempt { token: Some(&good), api: "https://10.99.0.1:1443", ..ATTEMPT },
        ),
        (
            "address: port of the nodes",
            Attempt { token: Some(&good), api: "https://10.77.0.1:9212", ..ATTEMPT },
        ),
        (
            "address: a name that is not in the certificate",
            Attempt { token: Some(&good), api: "https://127.0.0.2:1443", ..ATTEMPT },
        ),
        ("name: taken", Attempt { token: Some(&good), name: "first", ..ATTEMPT }),
        (
            "peer: an address of this machine only",
            Attempt { token: Some(&good), ip: "127.0.0.1", ..ATTEMPT },
        ),
        ("context: of another cluster", Attempt { context: Some(&wrong), api: API, ..ATTEMPT }),
        ("context: expired", Attempt { context: Some(&expired), api: API, ..ATTEMPT }),
        ("context: of a viewer", Attempt { context: Some(&viewer), api: API, ..ATTEMPT }),
    ];
    let joiner = Joiner::new(&lab, &node);
    let mut told = Told::new("joining.txt");
    for (name, attempt) in cases {
        told.take(&node, name, "smr start", "", &joiner.join(attempt));
    }
    let after = (state(&node), node.ok(&["node", "ls", "--output", "name"]).unwrap());
    assert_eq!(after, before, "nobody was let in");
    told.pinned();
}
