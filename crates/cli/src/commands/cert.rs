//! `cert`: issued certificates and the authority that signs them.

mod rotate;

use std::time::Duration;

use jiff::Timestamp;
use smr_wire::{CertificateInfo, RevokeRequest};

use super::{DONE, Outcome, patiently};
use crate::{
    args::{CertCommand, CertListArgs, CertRevokeArgs, Output},
    output::certificate_table,
    settings::Settings,
};

/// `cert`.
pub(crate) async fn run(settings: &Settings, command: CertCommand) -> Outcome {
    match command {
        CertCommand::Ls(args) => list(settings, &args).await,
        CertCommand::Revoke(args) => revoke(settings, &args).await,
        CertCommand::RotateCa(args) => rotate::run(settings, &args).await,
    }
}

async fn list(settings: &Settings, args: &CertListArgs) -> Outcome {
    let client = settings.client()?;
    let mut list = client.certificates().await?;
    let now = Timestamp::now();
    if let Some(within) = args.expiring {
        list.items.retain(|certificate| is_expiring(certificate, within.0, now));
    }
    let printer = settings.printer;
    match args.output.output {
        Output::Json => printer.json(&list)?,
        Output::Yaml => printer.yaml(&list)?,
        Output::Name => printer.lines(list.items.iter().map(|certificate| &certificate.serial))?,
        Output::Table | Output::Wide => printer.table(&certificate_table(&list.items, now))?,
    }
    settings.note_stale(&client, None);
    Ok(DONE)
}

/// Whether it is valid now and not so long any more.
fn is_expiring(certificate: &CertificateInfo, within: Duration, now: Timestamp) -> bool {
    let left = certificate.not_after.duration_since(now);
    certificate.revoked.is_none()
        && Duration::try_from(left).is_ok_and(|left| !left.is_zero() && left <= within)
}

async fn revoke(settings: &Settings, args: &CertRevokeArgs) -> Outcome {
    let client = settings.client()?;
    let request = RevokeRequest { reason: args.reason.clone() };
    let asked = client.revoke(&args.which, &request);
    let response = patiently(settings, "revoking", asked).await?;
    for certificate in &response.revoked {
        settings
            .printer
            .line(format_args!("revoked: {} of {}", certificate.serial, certificate.name))?;
    }
    if response.revoked.is_empty() {
        settings.printer.note("note: nothing valid was left to revoke");
    }
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiring_is_what_still_works_and_soon_does_not() {
        let now: Timestamp = "2026-01-31T10:00:00Z".parse().unwrap();
        let week = Duration::from_hours(7 * 24);
        let ends = |hours: i64| CertificateInfo {
            serial: "01".to_owned(),
            name: "n".to_owned(),
            role: "node".to_owned(),
            node: Some(1),
            issued: now,
            not_after: now + jiff::SignedDuration::from_hours(hours),
            days_left: hours / 24,
            revoked: None,
            reason: String::new(),
        };
        let expiring = |hours| is_expiring(&ends(hours), week, now);
        assert!(expiring(1) && expiring(168));
        assert!(!expiring(-1) && !expiring(169));
        let revoked = CertificateInfo { revoked: Some(now), ..ends(1) };
        assert!(!is_expiring(&revoked, week, now));
    }
}
