//! A method per route about the cluster: members, tokens, certificates, rollouts, placement.

use http::{Method, header};
use smr_wire::{
    ApplyQuery, AuthoritiesInfo, CertificateAnswer, CertificateList, CertificateRequest,
    ClusterSettings, ClusterSettingsPatch, ClusterStatus, JoinRequest, JoinResponse, NodeList,
    NodePatch, NodeRemoveQuery, NodeView, PlacementExplanation, PlacementPlan, RevokeRequest,
    RevokeResponse, RolloutAction, RolloutQuery, RolloutResponse, RolloutView, RotateRequest,
    TokenCreate, TokenCreated, TokenInfo, TokenList, TransferRequest, UserCreate, UserCreated,
    routes,
};

use crate::{
    Client, Error,
    api::{YAML, escape},
};

impl Client {
    /// Who is in the cluster and who leads.
    pub async fn cluster(&self) -> Result<ClusterStatus, Error> {
        self.read(routes::CLUSTER, &()).await
    }

    /// Becomes a member of the cluster, as an administrator or with a join token.
    pub async fn join(&self, request: &JoinRequest) -> Result<JoinResponse, Error> {
        self.json(self.request(Method::POST, routes::CLUSTER_JOIN).json(request)).await
    }

    /// Hands the lead to another voter.
    pub async fn transfer(&self, request: &TransferRequest) -> Result<ClusterStatus, Error> {
        self.json(self.request(Method::POST, routes::CLUSTER_TRANSFER).json(request)).await
    }

    /// Settings of the cluster.
    pub async fn settings(&self) -> Result<ClusterSettings, Error> {
        self.read(routes::CLUSTER_SETTINGS, &()).await
    }

    /// Changes settings of the cluster; answers with all of them.
    pub async fn patch_settings(
        &self,
        patch: &ClusterSettingsPatch,
    ) -> Result<ClusterSettings, Error> {
        self.json(self.request(Method::PATCH, routes::CLUSTER_SETTINGS).json(patch)).await
    }

    /// Nodes of the cluster.
    pub async fn nodes(&self) -> Result<NodeList, Error> {
        self.read(routes::NODES, &()).await
    }

    /// A node by id or name.
    pub async fn node(&self, node: &str) -> Result<NodeView, Error> {
        self.read(&node_path(node), &()).await
    }

    /// Changes what administrators say about a node, by id or name.
    pub async fn patch_node(&self, node: &str, patch: &NodePatch) -> Result<NodeView, Error> {
        self.json(self.request(Method::PATCH, &node_path(node)).json(patch)).await
    }

    /// Removes a node, by id or name, from the cluster for good; answers with what it was. One that
    /// is ready is removed only by `force`.
    pub async fn remove_node(&self, node: &str, force: bool) -> Result<NodeView, Error> {
        let request = self.request(Method::DELETE, &node_path(node));
        self.json(request.query(&NodeRemoveQuery { force })).await
    }

    /// Makes a join token.
    pub async fn create_token(&self, wanted: &TokenCreate) -> Result<TokenCreated, Error> {
        self.json(self.request(Method::POST, routes::TOKENS).json(wanted)).await
    }

    /// Makes a key and a certificate for a user.
    pub async fn create_user(&self, request: &UserCreate) -> Result<UserCreated, Error> {
        self.json(self.request(Method::POST, routes::USERS).json(request)).await
    }

    /// Join tokens.
    pub async fn tokens(&self) -> Result<TokenList, Error> {
        self.read(routes::TOKENS, &()).await
    }

    /// Deletes a join token by its id.
    pub async fn delete_token(&self, id: &str) -> Result<TokenInfo, Error> {
        let path = routes::TOKEN.replace("{id}", &escape(id));
        self.json(self.request(Method::DELETE, &path)).await
    }

    /// Issued certificates.
    pub async fn certificates(&self) -> Result<CertificateList, Error> {
        self.read(routes::CERTIFICATES, &()).await
    }

    /// Has the key of this node signed anew; for nodes.
    pub async fn renew(&self, request: &CertificateRequest) -> Result<CertificateAnswer, Error> {
        self.json(self.request(Method::POST, routes::CERTIFICATES).json(request)).await
    }

    /// Revokes a certificate by its serial number, or all of a node or user by name.
    pub async fn revoke(
        &self,
        serial_or_name: &str,
        request: &RevokeRequest,
    ) -> Result<RevokeResponse, Error> {
        let path = routes::CERTIFICATE_REVOKE.replace("{serial}", &escape(serial_or_name));
        self.json(self.request(Method::POST, &path).json(request)).await
    }

    /// The authorities of the cluster and who trusts them.
    pub async fn authorities(&self) -> Result<AuthoritiesInfo, Error> {
        self.read(routes::CLUSTER_AUTHORITIES, &()).await
    }

    /// Takes a step of replacing the authority.
    pub async fn rotate(&self, request: &RotateRequest) -> Result<AuthoritiesInfo, Error> {
        self.json(self.request(Method::POST, routes::CLUSTER_AUTHORITIES).json(request)).await
    }

    /// How a change reaches the replicas of a `containers` object, and its former definitions.
    pub async fn rollout(&self, group: &str, name: &str) -> Result<RolloutView, Error> {
        self.read(&object_path(routes::ROLLOUT, group, name), &()).await
    }

    /// Pauses, resumes, promotes or undoes a rollout; `to` is the generation to go back to, for
    /// [`RolloutAction::Undo`].
    pub async fn change_rollout(
        &self,
        group: &str,
        name: &str,
        action: RolloutAction,
        to: Option<u64>,
    ) -> Result<RolloutResponse, Error> {
        let path = object_path(routes::ROLLOUT_ACTION, group, name);
        let path = path.replace("{action}", action.as_str());
        self.json(self.request(Method::POST, &path).query(&RolloutQuery { to })).await
    }

    /// Why replicas are where they are; `name` is that of a `containers` object or the generated
    /// name of one replica.
    pub async fn explain(&self, group: &str, name: &str) -> Result<PlacementExplanation, Error> {
        self.read(&object_path(routes::EXPLAIN, group, name), &()).await
    }

    /// Where the replicas of the documents of `body` would go, without applying them.
    pub async fn plan(&self, query: &ApplyQuery, body: String) -> Result<PlacementPlan, Error> {
        let request = self.reading_request(Method::POST, routes::PLAN).query(query);
        self.json(request.header(header::CONTENT_TYPE, YAML).body(body)).await
    }
}

fn node_path(node: &str) -> String {
    routes::NODE.replace("{node}", &escape(node))
}

fn object_path(route: &str, group: &str, name: &str) -> String {
    route.replace("{group}", &escape(group)).replace("{name}", &escape(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_place_of_the_path() {
        assert_eq!(node_path("a/b"), "/api/v1/nodes/a%2Fb");
        assert_eq!(object_path(routes::ROLLOUT, "{name}", "x"), "/api/v1/rollouts/%7Bname%7D/x");
        let path = object_path(routes::ROLLOUT_ACTION, "g", "{action}");
        assert_eq!(path, "/api/v1/rollouts/g/%7Baction%7D/{action}");
    }
}
