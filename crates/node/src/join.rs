//! How a new node becomes a member of a cluster that is there.
//!
//! The node makes its own key, authenticates the cluster before it says anything (by the authority in
//! its token, or in the context that was imported), and has its key signed. What it gets is on disk
//! before it takes part in anything; asking again after a crash gives the same answer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use smr_client::{Client, Error as ClientError, Options};
use smr_config::Config;
use smr_model::NodeRole;
use smr_pki::{
    Context, ContextStore, DataKey, JoinToken, NodeKey, Subject, ensure_private_dir, read_private,
};
use smr_wire::{Code, JoinRequest, JoinResponse};

use crate::{
    identity::{BUNDLE, DATA_KEY, NODE_KEY},
    record::NodeRecord,
};

/// Pause between two rounds.
const PAUSE: Duration = Duration::from_secs(1);

/// Joins the cluster that `config` names and returns who the node is from now on.
///
/// # Errors
/// A token or context that cannot be used, a cluster that refuses, or none that answers within
/// `cluster.join_timeout`.
pub(crate) async fn join(config: &Config) -> anyhow::Result<NodeRecord> {
    let dir = config.data.dir.join("pki");
    ensure_private_dir(&dir)?;
    let key = NodeKey::load_or_create(&dir.join(NODE_KEY))?;
    let name = &config.node.name;
    let (domains, ips) = (config.node.domains.clone(), config.node.ips.clone());
    let request = JoinRequest {
        name: config.node.is_named.then(|| name.clone()),
        request: key.request(&Subject::node(name, &domains, &ips)?)?,
        domains,
        ips,
        peer: config.cluster.address.clone(),
        api: api_url(config),
        role: Some(match config.cluster.role {
            smr_config::NodeRole::Voter => NodeRole::Voter,
            smr_config::NodeRole::Worker => NodeRole::Worker,
        }),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let contexts = ways_in(config)?;
    let answer = ask(&contexts, &request, config.cluster.join_timeout).await?;
    let credentials = key.complete(&answer.certificate, &answer.authorities)?;
    credentials.save(&dir.join(BUNDLE))?;
    DataKey::from_join(answer.data_key.expose())?.save(&dir.join(DATA_KEY))?;
    let record = NodeRecord {
        id: answer.id,
        name: answer.name,
        cluster: answer.cluster,
        joined: true,
        epoch: 0,
        alone: false,
    };
    record.save(&config.data.dir)?;
    tracing::info!(id = record.id, name = record.name, "joined the cluster");
    Ok(record)
}

/// Where this node's control API is reached by others: the host other nodes use, with the API's port.
pub(crate) fn api_url(config: &Config) -> String {
    let host = config.cluster.address.rsplit_once(':').map_or("", |(host, _)| host);
    let port = config.api.listen.first().map_or(1443, std::net::SocketAddr::port);
    if host.is_empty() { String::new() } else { format!("https://{host}:{port}") }
}

/// What may be asked, in order: each address with the credentials for it.
fn ways_in(config: &Config) -> anyhow::Result<Vec<Context>> {
    let cluster = &config.cluster;
    if let Some(path) = &cluster.token_file {
        let text = read_private(path)?.with_context(|| {
            format!(
                "there is no join token at `{}` (cluster.token_file); put there what `smrctl token \
                 create --quiet` prints on a member of the cluster",
                path.display()
            )
        })?;
        let text = String::from_utf8_lossy(&text);
        let token = JoinToken::parse(text.trim(), Timestamp::now())
            .with_context(|| format!("the join token in `{}` cannot be used", path.display()))?;
        let apis = if cluster.join.is_empty() { token.apis() } else { &cluster.join };
        let bundle = token.credentials().bundle();
        let way = |api: &String| Context::new("join", api, bundle.clone());
        return Ok(apis.iter().map(way).collect::<Result<_, _>>()?);
    }
    let store = ContextStore::open(&config.contexts.dir);
    let context = store.current().with_context(|| {
        format!(
            "to join {} this node needs a join token (cluster.token_file; `smrctl token create` makes \
             one), or a context of an administrator imported with `smr agent import`",
            cluster.join.join(", ")
        )
    })?;
    let way = |api: &String| context.clone().with_api(api);
    Ok(cluster.join.iter().map(way).collect::<Result<_, _>>()?)
}

/// Asks one after the other, again and again while none answers. A refusal is an answer.
async fn ask(
    ways: &[Context],
    request: &JoinRequest,
    patience: Duration,
) -> anyhow::Result<JoinResponse> {
    let begun = Instant::now();
    loop {
        let mut unreachable = Vec::new();
        for context in ways {
            let client = Client::new(context, Options::default())?;
            match client.join(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) if worth_another_try(&error) => {
                    tracing::warn!(
                        api = context.api_url(),
                        error = &error as &dyn std::error::Error,
                        "cannot ask to join, trying again"
                    );
                    unreachable.push(shown(context.api_url(), &error));
                }
                Err(error) => {
                    let api = context.api_url();
                    let what = match &error {
                        ClientError::Tls { .. } => format!(
                            "`{api}` and this node do not trust each other; check that it is the \
                             control API of the cluster that the token, or the context, is of: \
                             `smrctl token create` there makes a new token"
                        ),
                        _ => format!("`{api}` refused this node"),
                    };
                    return Err(anyhow::Error::new(error).context(what));
                }
            }
        }
        if begun.elapsed() + PAUSE > patience {
            bail!(
                "no member of the cluster could be asked to join within {} s: {}; check that the \
                 addresses are right, that nodes run there, and that no firewall is between",
                patience.as_secs_f32(),
                unreachable.join("; ")
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What came of asking there, with its cause.
fn shown(api: &str, error: &ClientError) -> String {
    use std::error::Error as _;
    match (error, error.source()) {
        (ClientError::Api(refusal), _) => format!("`{api}` answers: {refusal}"),
        (_, Some(cause)) => format!("{error}: {cause}"),
        (_, None) => error.to_string(),
    }
}

/// Whether another member, or the same one later, could answer differently.
fn worth_another_try(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. }
        | ClientError::Lost { .. }
        | ClientError::Timeout { .. } => true,
        error => matches!(
            error.code(),
            Some(
                Code::Unavailable
                    | Code::NoQuorum
                    | Code::NoLeader
                    | Code::Timeout
                    | Code::OutcomeUnknown
            )
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_reached_where_other_nodes_reach_this_one() {
        let host = smr_config::Host { hostname: "n".to_owned(), home: "/root".into() };
        let text = "[node]\nips = [\"192.0.2.7\"]\n[api]\nlisten = [\"0.0.0.0:2443\"]\n\
                    [cluster]\nlisten = [\"0.0.0.0:9212\"]\n";
        let config = Config::parse(text, "smr.toml", &host).unwrap();
        assert_eq!(api_url(&config), "https://192.0.2.7:2443");
        // What is there at the first look of a user is that nobody else reaches this node.
        let config = Config::defaults(&host);
        assert_eq!(api_url(&config), "https://127.0.0.1:1443");
    }
}
