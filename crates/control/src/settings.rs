//! Settings of the whole cluster.

use smr_state::{Op, Txn};
use smr_wire::{ClusterSettings, ClusterSettingsPatch};

use crate::{
    Actor, Control, Error,
    cluster::{ATTEMPTS, encode, unchanged},
    keyspace,
};

impl Control {
    /// The settings in force, from the local copy.
    pub fn settings(&self) -> Result<ClusterSettings, Error> {
        let found = self.record(keyspace::CLUSTER_SETTINGS)?;
        Ok(found.map(|(settings, _)| settings).unwrap_or_default())
    }

    /// Changes the settings; answers with all of them.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a value that is not allowed.
    pub async fn patch_settings(
        &self,
        patch: &ClusterSettingsPatch,
        actor: &Actor,
    ) -> Result<ClusterSettings, Error> {
        check(patch)?;
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let found = self.record::<ClusterSettings>(keyspace::CLUSTER_SETTINGS)?;
            let (old, seen) = found.unwrap_or_default();
            let new = patched(&old, patch);
            if new == old {
                return Ok(old);
            }
            let txn = Txn::new()
                .when(unchanged(keyspace::CLUSTER_SETTINGS, seen))
                .then(Op::put(keyspace::CLUSTER_SETTINGS, encode(&new)));
            let event =
                self.cluster_event("settings_changed", "settings", "cluster", "changed", actor);
            if self.change(txn, event).await?.is_some() {
                return Ok(new);
            }
        }
        Err(Error::Contended { key: "the settings of the cluster".to_owned() })
    }
}

fn patched(old: &ClusterSettings, patch: &ClusterSettingsPatch) -> ClusterSettings {
    ClusterSettings {
        voters: patch.voters.unwrap_or(old.voters),
        rebalance: patch.rebalance.unwrap_or(old.rebalance),
        moves_per_minute: patch.moves_per_minute.unwrap_or(old.moves_per_minute),
        down_after_millis: match patch.down_after_millis {
            Some(0) => None,
            Some(millis) => Some(millis),
            None => old.down_after_millis,
        },
    }
}

fn check(patch: &ClusterSettingsPatch) -> Result<(), Error> {
    let refused = |name, value: String, allowed: &str| {
        Err(Error::Parameter { name, value, allowed: allowed.to_owned() })
    };
    match patch {
        ClusterSettingsPatch { voters: Some(n), .. } if !(1..=9).contains(n) || n % 2 == 0 => {
            refused("voters", n.to_string(), "1, 3, 5, 7 or 9")
        }
        ClusterSettingsPatch { moves_per_minute: Some(n), .. } if !(1..=1000).contains(n) => {
            refused("movesPerMinute", n.to_string(), "1 to 1000")
        }
        ClusterSettingsPatch { down_after_millis: Some(n), .. }
            if *n != 0 && !(1000..=600_000).contains(n) =>
        {
            let allowed = "1000 to 600000 (10 minutes), or 0 to take the override away";
            refused("downAfterMillis", n.to_string(), allowed)
        }
        _ => Ok(()),
    }
}
