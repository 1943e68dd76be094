//! Parts that the benchmarks share: timing of writers, the members compared, tables.
//!
//! Start reading at the binaries in `src/bin`; each prints a ratio measured in one run.

pub mod etcd;
pub mod load;
pub mod member;
pub mod raw;
