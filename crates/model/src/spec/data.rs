//! Kinds that are a map of texts: configuration, resource, secret.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A map of texts. Keys may contain dots, but no `:`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataSpec {
    /// The entries. In `configuration` and `resource`, values may contain templates; in `secret`
    /// they are taken as they are.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}

impl fmt::Debug for DataSpec {
    /// Keys only: the same type carries secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSpec").field("keys", &self.data.keys().collect::<Vec<_>>()).finish()
    }
}
