//! Networks of the engine.

use std::collections::HashMap;

use bollard::{
    models::{Ipam, IpamConfig, Network as ApiNetwork, NetworkCreateRequest},
    query_parameters::ListNetworksOptionsBuilder,
};

use super::{
    DockerEngine,
    convert::sorted,
    failure::{Task, is_status},
};
use crate::{
    error::Error,
    network::differences,
    reference::is_name,
    types::{Ensured, Network, NetworkOutcome, NetworkRequest},
};

impl DockerEngine {
    async fn networks_where(
        &self,
        task: &Task,
        filters: HashMap<&'static str, Vec<String>>,
    ) -> Result<Vec<Network>, Error> {
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let found = self
            .connection
            .call(task, self.connection.limits.read, |api| {
                let options = options.clone();
                async move { api.docker.list_networks(Some(options)).await }
            })
            .await?;
        let mut networks: Vec<Network> = found.into_iter().map(convert).collect();
        networks.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(networks)
    }

    pub(super) async fn our_networks(&self) -> Result<Vec<Network>, Error> {
        self.networks_where(&Task::engine("list networks"), self.owner_filter()).await
    }

    pub(super) async fn find_network(&self, name: &str) -> Result<Option<Network>, Error> {
        let task = Task::network("look for", name);
        Ok(self.networks_named(&task, &[name.to_owned()]).await?.into_iter().next())
    }

    pub(super) async fn networks_named(
        &self,
        task: &Task,
        names: &[String],
    ) -> Result<Vec<Network>, Error> {
        // The engine's filter matches parts of names.
        let found = self.networks_where(task, HashMap::from([("name", names.to_vec())])).await?;
        Ok(found.into_iter().filter(|network| names.contains(&network.name)).collect())
    }

    pub(super) async fn make_network(
        &self,
        request: &NetworkRequest,
    ) -> Result<NetworkOutcome, Error> {
        let task = Task::network("create", &request.name);
        if !is_name(&request.name) {
            return Err(task.refused("letters, digits, `.`, `_` and `-` make a network name"));
        }
        let limit = self.connection.limits.change;
        let work = async {
            let _one_at_a_time = self.networks.lock().await;
            if let Some(network) = self.find_network(&request.name).await? {
                let differences = differences(request, &network);
                return Ok(NetworkOutcome {
                    ours: self.owner.owns(&network.labels),
                    id: network.id,
                    ensured: if differences.is_empty() {
                        Ensured::Existed
                    } else {
                        Ensured::Differs(differences)
                    },
                });
            }
            let body = self.network_body(request);
            let created = self
                .connection
                .call(&task, limit, |api| {
                    let body = body.clone();
                    async move { api.docker.create_network(body).await }
                })
                .await?;
            Ok(NetworkOutcome { id: created.id, ensured: Ensured::Created, ours: true })
        };
        tokio::time::timeout(limit, work).await.map_err(|_| task.timeout(limit))?
    }

    fn network_body(&self, request: &NetworkRequest) -> NetworkCreateRequest {
        let mut labels: HashMap<String, String> = request.labels.clone().into_iter().collect();
        labels.extend(self.owner.labels());
        let subnet = (!request.subnet.is_empty())
            .then(|| IpamConfig { subnet: Some(request.subnet.clone()), ..Default::default() });
        NetworkCreateRequest {
            name: request.name.clone(),
            driver: (!request.driver.is_empty()).then(|| request.driver.clone()),
            internal: request.internal.then_some(true),
            enable_ipv6: request.subnet.contains(':').then_some(true),
            ipam: subnet.map(|config| Ipam { config: Some(vec![config]), ..Default::default() }),
            options: Some(request.options.clone().into_iter().collect()),
            labels: Some(labels),
            ..Default::default()
        }
    }

    pub(super) async fn delete_network(&self, name: &str) -> Result<(), Error> {
        let task = Task::network("remove", name);
        let Some(network) = self.find_network(name).await? else { return Ok(()) };
        if !self.owner.owns(&network.labels) {
            return Err(task.not_ours());
        }
        let id = network.id.as_str();
        let result = self
            .connection
            .try_call(&task, self.connection.limits.change, |api| async move {
                api.docker.remove_network(id).await
            })
            .await?;
        match result {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, 404) => Ok(()),
            Err(error) => Err(self.classify(&task, error)),
        }
    }
}

fn convert(network: ApiNetwork) -> Network {
    let subnets = network.ipam.and_then(|ipam| ipam.config).into_iter().flatten();
    Network {
        id: network.id.unwrap_or_default(),
        name: network.name.unwrap_or_default(),
        driver: network.driver.unwrap_or_default(),
        subnets: subnets.filter_map(|config| config.subnet).collect(),
        options: sorted(network.options),
        internal: network.internal.unwrap_or(false),
        labels: sorted(network.labels),
    }
}
