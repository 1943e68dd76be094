//! Everything that is printed goes through here.

mod age;
mod cluster_tables;
mod printer;
mod table;
mod tables;

pub(crate) use age::age;
pub(crate) use cluster_tables::{
    certificate_table, history_table, member_table, node_table, rollout_table, token_table,
};
pub(crate) use printer::Printer;
pub(crate) use table::{Paint, Table};
pub(crate) use tables::{
    image_table, object_table, reason_lines, replica_table, silent_engines, sort_replicas,
};
