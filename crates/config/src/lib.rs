//! `smr.toml`, the one configuration of a node: typed, documented, every key with a default, and
//! every mistake reported at once with file, line, column, key, value and what is allowed.
//!
//! One table of fields (`field`) is the source of the parser's checks, the defaults, the rendered
//! files, the JSON Schema and `docs/smr-toml.md`.

mod check;
mod config;
mod cross;
mod error;
mod field;
mod parse;
mod reference;
mod render;
mod schema;
mod setting;
mod units;
mod value;

pub use config::{
    Api, Bootstrap, Certificates, Cluster, Config, Contexts, DEFAULT_PATH, Data, Docker, Host,
    LogFormat, LogLevel, Node, NodeRole, Override, Reserved, Store, Telemetry,
};
pub use error::{ConfigErrors, Problem};
pub use reference::reference_markdown;
pub use render::init_text;
pub use schema::schema;
