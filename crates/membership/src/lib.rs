//! Decides who is down and who votes: pure functions of what the leader has seen, and now.
//!
//! Start reading at [`verdicts`] (which nodes are down or ready again) and [`voters`] (the next change of
//! the voters). There is no clock, no network and no randomness here: time is an argument, and asking
//! again without a change in the world gives the same answer.
//!
//! Not here: pings themselves and the writing of verdicts (`smr-leader`).

mod health;
mod settings;
mod voters;

pub use health::{Action, Observation, Observations, Probe, Testimony, verdicts};
pub use settings::Settings;
pub use voters::{Change, Electorate, voters};
