//! Controllers of the node that leads the cluster.
