//! Which replica an argument means: people type less than the whole name.

use smr_client::Client;
use smr_model::{ObjectRef, ReplicaKey};
use smr_wire::{Code, ReplicaQuery};

use super::replica_name;
use crate::{error::Error, settings::Settings};

/// Asks about a replica by group and generated name: as typed and, if there is no such replica,
/// about the one that must be meant.
pub(crate) async fn with_replica<T>(
    settings: &Settings,
    resource: &ObjectRef,
    ask: impl AsyncFn(&Client, &str, &str) -> Result<T, smr_client::Error>,
) -> Result<T, Error> {
    let (group, name) = replica_name(settings, resource)?;
    let client = settings.client()?;
    let err = match ask(&client, &group, &name).await {
        Err(err) if err.code() == Some(Code::NotFound) => err,
        answer => return Ok(answer?),
    };
    let named = resource.group.is_some() || settings.only_group.is_some();
    let query = ReplicaQuery { group: named.then(|| group.clone()), name: None };
    let replicas = client.replicas(&query).await?.items;
    let keys: Vec<ReplicaKey> = replicas.into_iter().map(|replica| replica.key).collect();
    match meant(&keys, &group, &name).as_slice() {
        [] => Err(err.into()),
        [only] => Ok(ask(&client, &only.group, &only.generated_name()).await?),
        several => Err(Error::SeveralReplicas {
            resource: format!("{}/{group}/{name}", resource.kind),
            replicas: several.iter().map(ToString::to_string).collect(),
        }),
    }
}

/// The replicas of the object of that name or with that `NAME-INDEX`; else those with that
/// generated name, in whatever group they are.
fn meant<'a>(replicas: &'a [ReplicaKey], group: &str, name: &str) -> Vec<&'a ReplicaKey> {
    let typed = |key: &&ReplicaKey| {
        key.group == group && (key.name == name || format!("{}-{}", key.name, key.index) == name)
    };
    let in_group: Vec<_> = replicas.iter().filter(typed).collect();
    if !in_group.is_empty() {
        return in_group;
    }
    replicas.iter().filter(|key| key.generated_name() == name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_the_whole_name_is_enough_when_one_replica_has_it() {
        let replicas = [
            ReplicaKey::new("shop", "app", 1),
            ReplicaKey::new("shop", "app", 2),
            ReplicaKey::new("shop", "db", 1),
            ReplicaKey::new("default", "app", 1),
            ReplicaKey::new("shop-db", "x", 1),
            ReplicaKey::new("shop", "db-x", 1),
        ];
        let meant = |group, name| {
            let found = meant(&replicas, group, name);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(meant("shop", "db"), ["containers/shop/shop-db-1"]);
        assert_eq!(meant("shop", "db-1"), ["containers/shop/shop-db-1"]);
        assert_eq!(meant("default", "shop-app-2"), ["containers/shop/shop-app-2"]);
        assert_eq!(meant("default", "app"), ["containers/default/default-app-1"]);
        assert_eq!(
            meant("shop", "app"),
            ["containers/shop/shop-app-1", "containers/shop/shop-app-2"]
        );
        assert_eq!(meant("default", "shop-db-x-1").len(), 2, "two groups, one generated name");
        assert!(meant("default", "db").is_empty(), "of another group by its generated name only");
    }
}
