//! Everything that is printed goes through here.

mod age;
mod printer;
mod table;
mod tables;

pub use age::age;
pub use printer::Printer;
pub use table::{Paint, Table};
pub use tables::{
    image_table, node_table, object_table, reason_lines, replica_table, sort_replicas,
};
