//! Who the node is: its keys, certificates and cluster, and their renewal.
//!
//! The authorities of the cluster are in the keyspace, their keys sealed with the data key, which is on
//! the disk of every member. So a node renews its own certificate from its local copy, whatever the
//! others do; its own key never changes, for the cluster knows it by that.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use smr_config::Config;
use smr_control::{Control, keyspace};
use smr_pki::{
    Authority, AuthoritySet, ContextStore, Credentials, DataKey, LocalAdmin, NodeKey, NodeOutcome,
    RevocationList, SealedAuthorities, Subject, TlsMaterial, ensure_local_admin,
    ensure_private_dir, local_api,
};
use smr_store::{KeyRange, Store};
use tokio::time::Instant;

use crate::{record::NodeRecord, stop::Stop};

/// The key secrets are sealed with, in `pki`.
pub(crate) const DATA_KEY: &str = "data.key";
/// The node's own key.
pub(crate) const NODE_KEY: &str = "node.key";
/// Its key with its certificate and the authorities it trusts.
pub(crate) const BUNDLE: &str = "node.pem";
/// Where the founder's authority lies until it is in the keyspace.
const AUTHORITY_KEY: &str = "ca.key";
/// The authorities that are trusted, for other programs.
const AUTHORITY: &str = "ca.crt";
/// A renewal that achieved nothing is not repeated more often.
const RENEWAL_PAUSE: Duration = Duration::from_secs(300);
/// How often the clock is looked at: it may be set, and timers stand still while a machine sleeps.
const CLOCK_LOOK: Duration = Duration::from_secs(15);
/// Name of the context made for this machine.
const LOCAL_USER: &str = "admin";

/// Keys and certificates of the node.
pub(crate) struct Identity {
    pub(crate) record: NodeRecord,
    pub(crate) tls: Arc<TlsMaterial>,
    pub(crate) data_key: Arc<DataKey>,
    pub(crate) revoked: RevocationList,
    key: NodeKey,
    subject: Subject,
    dir: PathBuf,
    config: Config,
    credentials: Mutex<Credentials>,
}

impl Identity {
    /// Loads what there is, makes what is missing.
    pub(crate) fn open(config: &Config, record: NodeRecord, store: &Store) -> anyhow::Result<Self> {
        let dir = config.data.dir.join("pki");
        ensure_private_dir(&dir)?;
        let data_key = dir.join(DATA_KEY);
        // A new key would open nothing, and every container would be another one.
        let sealed = record.joined || store.get(keyspace::CLUSTER_ID)?.is_some();
        if !data_key.exists() && sealed {
            bail!(
                "`{0}` is missing, and what the store holds is sealed with it; put it back from \
                 your copy of `pki`, or give up the values of all secrets and make a new one: \
                 `head -c 32 /dev/urandom > {0}`",
                data_key.display()
            );
        }
        let data_key = DataKey::load_or_create(&data_key)?;
        let key = NodeKey::load_or_create(&dir.join(NODE_KEY))?;
        let mut ips = config.node.ips.clone();
        ips.extend(config.api.listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()));
        let mut domains = config.node.domains.clone();
        // How others reach it is what they expect in its certificate.
        if let Some((host, _)) = config.cluster.address.rsplit_once(':') {
            match host.trim_matches(['[', ']']).parse() {
                Ok(ip) => ips.push(ip),
                Err(_) if host.is_empty() => {}
                Err(_) => domains.push(host.to_owned()),
            }
        }
        let subject = Subject::member(&record.name, record.id, &domains, &ips)?;
        let bundle = dir.join(BUNDLE);
        let credentials = match authorities(config, &record, store, &data_key)? {
            Some(set) => {
                let (credentials, outcome) = set.certify(
                    &key,
                    &bundle,
                    &subject,
                    config.certificates.node,
                    Timestamp::now(),
                )?;
                if outcome == NodeOutcome::Issued {
                    tracing::info!(until = %credentials.validity().not_after,
                        "node certificate issued");
                }
                credentials
            }
            // Just joined: the authorities come with the first news of the others.
            None => Credentials::load(&bundle)?.with_context(|| {
                format!(
                    "`{}` is missing; empty the data directory and join the cluster again",
                    bundle.display()
                )
            })?,
        };
        let revoked = RevocationList::new();
        Ok(Self {
            tls: Arc::new(TlsMaterial::new(&credentials)?.with_revocation(revoked.clone())),
            data_key: Arc::new(data_key),
            revoked,
            record,
            key,
            subject,
            dir,
            config: config.clone(),
            credentials: Mutex::new(credentials),
        })
    }

    /// Writes down which cluster the node is of, once it is known.
    pub(crate) fn remember_cluster(&self, cluster: &str) -> anyhow::Result<()> {
        if self.record.cluster == cluster {
            return Ok(());
        }
        let record = NodeRecord { cluster: cluster.to_owned(), ..self.record.clone() };
        record.save(&self.config.data.dir)
    }

    /// Id of the node's public key.
    pub(crate) fn key_id(&self) -> String {
        self.key.id()
    }

    /// Puts the founder's authority into the keyspace, sealed; its key on disk is then removed.
    pub(crate) async fn store_authorities(&self, control: &Control) -> anyhow::Result<()> {
        let path = self.dir.join(AUTHORITY_KEY);
        if !path.exists() {
            return Ok(());
        }
        if stored_authorities(control.store(), &self.data_key)?.is_none() {
            let lifetime = self.config.certificates.authority;
            let authority = Authority::load_or_create(&self.dir, lifetime, Timestamp::now())?;
            let set = AuthoritySet::new(authority);
            control.found_authorities(&set).await.context("cannot store the authority")?;
        }
        std::fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))
    }

    /// Makes sure that `smrctl` works on this machine for the user the node runs as.
    pub(crate) fn make_local_context(
        &self,
        store: &Store,
        bound: &[SocketAddr],
    ) -> anyhow::Result<()> {
        let Some(api) = local_api(bound) else { return Ok(()) };
        let Some(set) = stored_authorities(store, &self.data_key)? else { return Ok(()) };
        let dir = &self.config.contexts.dir;
        let contexts = ContextStore::open(dir);
        let admin = LocalAdmin {
            context: &self.record.name,
            user: LOCAL_USER,
            api: &api,
            lifetime: self.config.certificates.user,
        };
        if ensure_local_admin(&contexts, set.active(), admin, Timestamp::now())? {
            tracing::info!(context = %self.record.name, dir = %dir.display(),
                "context for this machine written");
        }
        Ok(())
    }

    /// Renews certificates before they expire and whenever the authorities change, until `stop`.
    /// Connections that are open go on; new ones see the new certificate.
    pub(crate) async fn keep_fresh(
        self: Arc<Self>,
        control: Control,
        bound: Vec<SocketAddr>,
        mut stop: Stop,
    ) {
        let store = control.store().clone();
        let mut news = None;
        loop {
            if let Err(error) = self.renew(&control, &bound).await {
                tracing::error!(error = format!("{error:#}"), "certificates cannot be renewed");
            }
            let is_due = || self.renew_at() <= Timestamp::now();
            let not_before = if is_due() { Instant::now() + RENEWAL_PAUSE } else { Instant::now() };
            if news.is_none() {
                // From the present on: what is stored now was looked at above, or will be at once.
                news = store.watch(KeyRange::key(keyspace::AUTHORITIES), None).ok();
                if let Err(error) = self.renew(&control, &bound).await {
                    tracing::error!(error = format!("{error:#}"), "certificates cannot be renewed");
                }
            }
            loop {
                let changed = async {
                    match &mut news {
                        Some(watch) => watch.next().await.is_some(),
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = stop.stopped() => return,
                    () = tokio::time::sleep(CLOCK_LOOK) => {
                        if news.is_none() || (is_due() && Instant::now() >= not_before) {
                            break;
                        }
                    }
                    more = changed => {
                        if !more {
                            news = None;
                        }
                        break;
                    }
                }
            }
        }
    }

    fn renew_at(&self) -> Timestamp {
        self.credentials().renew_at()
    }

    /// The node's key and present certificate.
    pub(crate) fn credentials(&self) -> Credentials {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn renew(&self, control: &Control, bound: &[SocketAddr]) -> anyhow::Result<()> {
        let Some(set) = stored_authorities(control.store(), &self.data_key)? else { return Ok(()) };
        let lifetime = self.config.certificates.node;
        let now = Timestamp::now();
        let before = self.credentials();
        let (credentials, outcome) =
            set.certify(&self.key, &self.dir.join(BUNDLE), &self.subject, lifetime, now)?;
        let issued = outcome == NodeOutcome::Issued;
        if issued || credentials.authorities() != before.authorities() {
            // First what others may present, then what this node presents.
            self.tls.reload_trust(credentials.authorities())?;
            self.tls.reload(&credentials)?;
            tracing::info!(until = %credentials.validity().not_after, "certificates renewed");
            *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = credentials.clone();
        }
        self.write_authorities(&credentials)?;
        self.make_local_context(control.store(), bound)?;
        // What the cluster knows of it is for people, and for the rotation of authorities.
        control.record_certificate(credentials.identity(), now).await?;
        control.report_trust(credentials.authorities(), &credentials.identity().serial).await?;
        Ok(())
    }

    fn write_authorities(&self, credentials: &Credentials) -> anyhow::Result<()> {
        let (path, pem) = (self.dir.join(AUTHORITY), credentials.authorities().to_pem());
        if std::fs::read(&path).is_ok_and(|there| there == pem.as_bytes()) {
            return Ok(());
        }
        Ok(smr_pki::write_private(&path, pem.as_bytes())?)
    }
}

/// The authorities the node's certificate is made with; `None` for a node that just joined.
fn authorities(
    config: &Config,
    record: &NodeRecord,
    store: &Store,
    data_key: &DataKey,
) -> anyhow::Result<Option<AuthoritySet>> {
    if let Some(set) = stored_authorities(store, data_key)? {
        return Ok(Some(set));
    }
    if record.joined {
        return Ok(None);
    }
    let dir = config.data.dir.join("pki");
    let lifetime = config.certificates.authority;
    Ok(Some(AuthoritySet::new(Authority::load_or_create(&dir, lifetime, Timestamp::now())?)))
}

/// The authorities in the local copy of the keyspace.
fn stored_authorities(store: &Store, data_key: &DataKey) -> anyhow::Result<Option<AuthoritySet>> {
    let Some(kv) = store.get(keyspace::AUTHORITIES)? else { return Ok(None) };
    let sealed: SealedAuthorities =
        serde_json::from_slice(&kv.value).context("the stored authorities are damaged")?;
    let set = sealed.open(data_key).context(
        "the stored authorities cannot be opened; is `pki/data.key` that of this cluster?",
    )?;
    Ok(Some(set))
}

/// Who this node is: as it was told before, else as the founder of a cluster of its own.
pub(crate) fn founder(config: &Config, id: u64) -> NodeRecord {
    NodeRecord {
        id,
        name: config.node.name.clone(),
        cluster: String::new(),
        joined: false,
        epoch: 0,
        alone: false,
    }
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

    async fn store(config: &Config) -> Store {
        Store::open(smr_store::Options::new(config.data.dir.join("store"))).await.unwrap()
    }

    fn control(store: &Store, identity: &Identity) -> Control {
        let options = smr_control::Options { node_id: 1, node_name: "n".to_owned() };
        Control::new(store.clone(), Arc::clone(&identity.data_key), options)
    }

    #[tokio::test]
    async fn a_lost_data_key_is_not_replaced_by_one_that_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let store = store(&config).await;
        let open = || Identity::open(&config, founder(&config, 1), &store);
        store.put(keyspace::CLUSTER_ID, "c").await.unwrap();
        let key = config.data.dir.join("pki/data.key");
        let Err(error) = open() else { panic!("a new key was made") };
        assert!(error.to_string().contains("data.key` is missing"), "{error}");
        assert!(!key.exists());
        store.shutdown().await;
    }

    #[tokio::test]
    async fn the_authority_s_key_leaves_the_disk_and_the_node_s_key_never_changes() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let store = store(&config).await;
        let identity = Identity::open(&config, founder(&config, 1), &store).unwrap();
        let key = config.data.dir.join("pki/ca.key");
        assert!(key.exists(), "until it is stored it is nowhere else");
        identity.store_authorities(&control(&store, &identity)).await.unwrap();
        assert!(!key.exists());

        let again = Identity::open(&config, founder(&config, 1), &store).unwrap();
        assert_eq!(again.key_id(), identity.key_id());
        let serial = |it: &Identity| it.credentials().identity().serial.clone();
        assert_eq!(serial(&again), serial(&identity), "a good certificate is kept");
        // A certificate that is lost is made anew, for the same key, from the stored authority.
        std::fs::remove_file(config.data.dir.join("pki/node.pem")).unwrap();
        let anew = Identity::open(&config, founder(&config, 1), &store).unwrap();
        assert_ne!(serial(&anew), serial(&identity));
        assert_eq!(anew.key_id(), identity.key_id());
        store.shutdown().await;
    }
}
