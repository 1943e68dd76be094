//! What happened, for people: the last lines of it, or all.

use std::collections::VecDeque;

use crate::Ms;

/// Lines that are kept when not everything is.
const KEPT: usize = 120;

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Story {
    lines: VecDeque<String>,
    all: bool,
}

impl Story {
    pub(crate) fn new(all: bool) -> Self {
        Self { lines: VecDeque::new(), all }
    }

    /// Adds a line; it is written only when somebody may read it.
    pub(crate) fn tell(&mut self, now: Ms, who: u64, line: impl FnOnce() -> String) {
        let who = if who == 0 { "world".to_owned() } else { format!("n{who}") };
        let line = format!("{:>9.3} {who:<5} {}", now as f64 / 1000.0, line());
        if !self.all && self.lines.len() >= KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Everything that is kept, one line each.
    pub(crate) fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}
