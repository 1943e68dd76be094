//! A container killed to running again, beside the time Docker itself takes to create and start it.

use std::time::{Duration, Instant};

use anyhow::Result;
use smr_integration::{Lab, events::Events};

use super::{
    deploy::{definition, remove},
    node,
    stats::{median, ms, percentile, table, verdict},
};

/// Containers killed, each once, so that no back-off comes in.
const COUNT: usize = 10;

const LIMIT: Duration = Duration::from_mins(1);

pub(super) fn restart(lab: &Lab) -> Result<()> {
    let node = node(lab, "")?;
    let path = node.file("restart.yaml", &definition("restart", COUNT))?;
    let mut events = Events::subscribe(lab.docker(), &["start"])?;
    node.ok(&["apply", &path])?;
    events.wait_started("bench-restart-", COUNT, LIMIT)?;
    node.wait_running("bench-restart-", COUNT, LIMIT)?;

    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for index in 1..=COUNT {
        let start = Instant::now();
        let name = format!("plain-{index}");
        lab.docker().run(&name, "busybox:latest", &["sleep", "3600"])?;
        plain.push(start.elapsed());
        lab.docker().remove(&name)?;

        let name = format!("bench-restart-{index}");
        let start = Instant::now();
        lab.docker().kill(&name)?;
        events.next(start + LIMIT, |event| event.container == name)?;
        ours.push(start.elapsed());
    }
    let above = median(&ours).saturating_sub(median(&plain));
    println!("\none container of {COUNT}, each killed once\n");
    let row = |name: &str, samples: &[Duration]| {
        vec![name.to_owned(), ms(median(samples)), ms(percentile(samples, 1.0))]
    };
    table(
        &["", "median", "worst"],
        &[row("Docker create + start", &plain), row("smr: killed to running", &ours)],
    );
    println!("\nseconds above Docker's own: {}", verdict(above.as_secs_f64(), 0.3));
    remove(&node, "restart")
}
