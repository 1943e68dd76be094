//! What the other members have, as far as they can be asked.

use std::{error::Error as _, time::Duration};

use futures_util::future::join_all;
use smr_client::{Client, Options};
use smr_config::Config;
use smr_pki::{Context, ContextStore};

use crate::{error::Error, hooks::Survey, settings::Settings};

/// Nobody who does not answer holds the others up for longer.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(5);

/// A member, or an address somebody named, and what came of asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Id, if it is known.
    pub(super) id: Option<u64>,
    /// Where it was asked.
    pub(super) address: String,
    pub(super) answer: Answer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Has { cluster: String, name: String, term: u64, applied: u64, revision: u64 },
    Silent(String),
}

impl Asked {
    /// Whether it answered as a member of this cluster.
    pub(super) fn is_of(&self, wanted: &str) -> bool {
        matches!(&self.answer, Answer::Has { cluster, .. } if cluster == wanted)
    }

    /// The last entry it is known to have.
    pub(super) fn applied(&self) -> u64 {
        match &self.answer {
            Answer::Has { applied, .. } => *applied,
            Answer::Silent(_) => 0,
        }
    }

    /// Its name, or what else is known of it.
    pub(super) fn name(&self) -> String {
        match (&self.answer, self.id) {
            (Answer::Has { name, .. }, _) => name.clone(),
            (_, Some(id)) => format!("node {id}"),
            _ => self.address.clone(),
        }
    }
}

/// Asks all members but this node, and `more` addresses, all at once.
pub(super) async fn everybody(
    settings: &Settings,
    config: &Config,
    survey: &Survey,
    more: &[String],
) -> Result<Vec<Asked>, Error> {
    let context = context(settings, config, survey);
    let port = config.api.listen.first().map_or(1443, std::net::SocketAddr::port);
    let members = survey.members.iter().filter(|member| member.id != survey.id);
    let members = members.map(|member| (Some(member.id), api(&member.address, port)));
    let named = more.iter().map(|url| (None, url.clone()));
    let asking = members.chain(named).map(|(id, url)| {
        let context = context.as_ref();
        async move {
            let answer = match context {
                _ if url.is_empty() => Err("its address is not known, name it with `--ask`".into()),
                Ok(context) => ask(context, &url).await,
                Err(why) => Err(why.clone()),
            };
            match answer {
                Ok((node, answer)) => Asked { id: Some(node), address: url, answer },
                Err(why) => Asked { id, address: url, answer: Answer::Silent(why) },
            }
        }
    });
    let mut asked = join_all(asking).await;
    // Who was found at another address is not told to be silent at its old one.
    let found: Vec<u64> = asked
        .iter()
        .filter(|it| matches!(it.answer, Answer::Has { .. }))
        .filter_map(|it| it.id)
        .collect();
    asked.retain(|it| {
        matches!(it.answer, Answer::Has { .. }) || it.id.is_none_or(|id| !found.contains(&id))
    });
    asked.sort_by_key(|it| it.id);
    asked.dedup_by_key(|it| (it.id, it.id.is_none().then(|| it.address.clone())));
    Ok(asked)
}

/// Where the control API of a member is: most nodes of a cluster have it at the same port.
fn api(peer: &str, port: u16) -> String {
    match peer.rsplit_once(':') {
        Some((host, _)) if !host.is_empty() => format!("https://{host}:{port}"),
        _ => String::new(),
    }
}

/// The credentials: those the node made for this machine, or those of the user.
fn context(settings: &Settings, config: &Config, survey: &Survey) -> Result<Context, String> {
    if settings.context.is_none() {
        let contexts = ContextStore::open(&config.contexts.dir);
        if let Ok(context) = contexts.get(&survey.name) {
            return Ok(context);
        }
    }
    settings.context().map_err(|error| error.to_string())
}

async fn ask(context: &Context, url: &str) -> Result<(u64, Answer), String> {
    let context = context.clone().with_api(url).map_err(|error| error.to_string())?;
    let options = Options { connect: CONNECT, answer: ANSWER, ..Options::default() };
    let client = Client::new(&context, options).map_err(|error| told(&error))?.reading(true);
    let status = client.cluster().await.map_err(|error| told(&error))?;
    let health = client.health().await.map_err(|error| told(&error))?;
    let name = status.members.iter().find(|it| it.member.id == status.node);
    let name = name.map_or_else(|| format!("node {}", status.node), |it| it.member.name.clone());
    let answer = Answer::Has {
        cluster: status.id,
        name,
        term: status.term,
        applied: health.store.applied,
        revision: health.store.revision,
    };
    Ok((status.node, answer))
}

/// The innermost reason says most in a narrow table.
fn told(error: &smr_client::Error) -> String {
    let mut cause = error.source();
    let mut last = None;
    while let Some(inner) = cause {
        last = Some(inner.to_string());
        cause = inner.source();
    }
    last.unwrap_or_else(|| error.to_string())
}
