//! Builds a node from its configuration, starts its parts in order, stops them in reverse.
//!
//! Start reading at [`run`]. No part knows another; what one needs from another is handed over
//! here, as plain data or through a trait the needy one declares.

mod backup;
mod cluster;
mod identity;
mod join;
mod logging;
mod manifests;
mod peers;
mod presence;
mod probe;
mod record;
mod recover;
mod remote;
mod run;
mod runtime;
mod stop;
mod telemetry;
mod transport;

pub use backup::{Restore, backup_is_sealed, restore_backup, verify_backup};
pub use recover::{LocalCopy, MemberAddress, recover, survey};
pub use run::run;
