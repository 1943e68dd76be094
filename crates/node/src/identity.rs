//! Who the node is: its keys, certificates and cluster, and their renewal.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use smr_config::Config;
use smr_pki::{
    Authority, ContextStore, Credentials, DataKey, LocalAdmin, NodeOutcome, Subject, TlsMaterial,
    ensure_local_admin, ensure_private_dir, local_api, node_credentials,
};
use smr_store::{CmpOp, Compare, Op, Store, Txn};

use crate::stop::Stop;

/// Key of the cluster's id in the keyspace.
const CLUSTER_ID: &str = "/smr/cluster/id";
/// The key secrets are sealed with, in `pki`.
const DATA_KEY: &str = "data.key";
/// A renewal that achieved nothing is not repeated more often.
const RENEWAL_PAUSE: Duration = Duration::from_secs(300);
/// Name of the context made for this machine.
const LOCAL_USER: &str = "admin";

/// Keys and certificates of the node.
pub(crate) struct Identity {
    authority: Authority,
    subject: Subject,
    bundle: PathBuf,
    config: Config,
    pub(crate) tls: Arc<TlsMaterial>,
    pub(crate) data_key: Arc<DataKey>,
    credentials: Credentials,
}

impl Identity {
    /// Loads what there is, makes what is missing.
    pub(crate) fn open(config: &Config, store: &Store) -> anyhow::Result<Self> {
        let dir = config.data.dir.join("pki");
        ensure_private_dir(&dir)?;
        let data_key = dir.join(DATA_KEY);
        // A new key would open nothing, and every container would be another one.
        if !data_key.exists() && store.get(CLUSTER_ID)?.is_some() {
            bail!(
                "`{0}` is missing, and what the store holds is sealed with it; put it back from \
                 your copy of `pki`, or give up the values of all secrets and make a new one: \
                 `head -c 32 /dev/urandom > {0}`",
                data_key.display()
            );
        }
        let now = Timestamp::now();
        let authority = Authority::load_or_create(&dir, config.certificates.authority, now)?;
        let mut ips = config.node.ips.clone();
        ips.extend(config.api.listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()));
        let subject = Subject::node(&config.node.name, &config.node.domains, &ips)?;
        let bundle = dir.join("node.pem");
        let (credentials, outcome) =
            node_credentials(&bundle, &authority, &subject, config.certificates.node, now)?;
        if outcome == NodeOutcome::Issued {
            tracing::info!(until = %credentials.validity().not_after, "node certificate issued");
        }
        Ok(Self {
            tls: Arc::new(TlsMaterial::new(&credentials)?),
            data_key: Arc::new(DataKey::load_or_create(&data_key)?),
            authority,
            subject,
            bundle,
            config: config.clone(),
            credentials,
        })
    }

    /// Makes sure that `smrctl` works on this machine for the user the node runs as.
    pub(crate) fn make_local_context(&self, bound: &[SocketAddr]) -> anyhow::Result<()> {
        let Some(api) = local_api(bound) else { return Ok(()) };
        let dir = &self.config.contexts.dir;
        let contexts = ContextStore::open(dir);
        let admin = LocalAdmin {
            context: &self.config.node.name,
            user: LOCAL_USER,
            api: &api,
            lifetime: self.config.certificates.user,
        };
        if ensure_local_admin(&contexts, &self.authority, admin, Timestamp::now())? {
            tracing::info!(context = %self.config.node.name, dir = %dir.display(),
                "context for this machine written");
        }
        Ok(())
    }

    /// Renews certificates before they expire, until `stop`. Connections that are open go on;
    /// new ones see the new certificate.
    pub(crate) async fn keep_fresh(mut self, bound: Vec<SocketAddr>, mut stop: Stop) {
        loop {
            let left = self.credentials.renew_at().duration_since(Timestamp::now());
            let pause = Duration::try_from(left).unwrap_or_default().max(RENEWAL_PAUSE);
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if let Err(error) = self.renew(&bound) {
                tracing::error!(error = format!("{error:#}"), "certificates cannot be renewed");
            }
        }
    }

    fn renew(&mut self, bound: &[SocketAddr]) -> anyhow::Result<()> {
        let lifetime = self.config.certificates.node;
        let now = Timestamp::now();
        let (credentials, outcome) =
            node_credentials(&self.bundle, &self.authority, &self.subject, lifetime, now)?;
        if outcome == NodeOutcome::Issued {
            self.tls.reload(&credentials)?;
            tracing::info!(until = %credentials.validity().not_after, "node certificate renewed");
            self.credentials = credentials;
        }
        self.make_local_context(bound)
    }
}

/// The id of the cluster: made once, then kept in the keyspace, so that containers stay ours
/// whatever happens to the certificates. A new keyspace is a new cluster: what was made for the
/// objects of a lost one, volumes above all, is not ours to remove.
pub(crate) async fn cluster_id(store: &Store, identity: &Identity) -> anyhow::Result<String> {
    if let Some(kv) = store.get(CLUSTER_ID)? {
        return Ok(String::from_utf8_lossy(&kv.value).into_owned());
    }
    let seed = format!("{} {}", identity.authority.certificate_pem(), Timestamp::now());
    let id: String =
        identity.data_key.fingerprint("cluster id", seed.as_bytes()).chars().take(16).collect();
    let txn = Txn::new()
        .when(Compare::version(CLUSTER_ID, CmpOp::Equal, 0))
        .then(Op::put(CLUSTER_ID, id.clone()));
    store.txn(txn).await.context("cannot store the id of the cluster")?;
    let kv = store.get(CLUSTER_ID)?.context("the id of the cluster was stored and is not there")?;
    Ok(String::from_utf8_lossy(&kv.value).into_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(dir: &Path) -> Config {
        let file = dir.join("smr.toml");
        let data = dir.join("data");
        std::fs::write(&file, format!("[data]\ndir = \"{}\"\n", data.display())).unwrap();
        let host = smr_config::Host { hostname: "n".to_owned(), home: dir.to_owned() };
        Config::load(&file, &host).unwrap()
    }

    async fn store(config: &Config, name: &str) -> Store {
        Store::open(smr_store::Options::new(config.data.dir.join(name))).await.unwrap()
    }

    #[tokio::test]
    async fn a_new_keyspace_is_a_new_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let (lost, new) = (store(&config, "lost").await, store(&config, "new").await);
        let identity = Identity::open(&config, &lost).unwrap();
        let before = cluster_id(&lost, &identity).await.unwrap();
        assert_eq!(cluster_id(&lost, &identity).await.unwrap(), before);
        assert_ne!(cluster_id(&new, &identity).await.unwrap(), before);
        lost.shutdown().await;
        new.shutdown().await;
    }

    #[tokio::test]
    async fn a_lost_data_key_is_not_replaced_by_one_that_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let store = store(&config, "store").await;
        let identity = Identity::open(&config, &store).unwrap();
        cluster_id(&store, &identity).await.unwrap();
        Identity::open(&config, &store).unwrap();

        let key = config.data.dir.join("pki/data.key");
        let kept = std::fs::read(&key).unwrap();
        std::fs::remove_file(&key).unwrap();
        let Err(error) = Identity::open(&config, &store) else { panic!("a new key was made") };
        assert!(error.to_string().contains("data.key` is missing"), "{error}");
        assert!(!key.exists());
        std::fs::write(&key, kept).unwrap();
        Identity::open(&config, &store).unwrap();
        store.shutdown().await;
    }
}
