//! Every kind but `containers`.

use std::net::IpAddr;

use super::{Problems, is_template, names};
use crate::{
    parser::field_path,
    spec::{CertkeySpec, CredentialRef, DataSpec, GitopsSpec, HttpauthSpec, NetworkSpec},
};

/// Largest value of a data key: what Docker and the store handle with ease.
const LARGEST_VALUE: usize = 1 << 20;

pub(super) fn data(spec: &DataSpec, problems: &mut Problems) {
    for (key, value) in &spec.data {
        let path = field_path("spec.data", key);
        if key.is_empty() {
            problems.error(&path, "a key is empty", "");
        }
        if key.contains(':') {
            let hint = "`:` parts object and key in `lookup`";
            problems.error(&path, format!("key `{key}` contains `:`"), hint);
        }
        if value.len() > LARGEST_VALUE {
            let message = format!("has {} bytes", value.len());
            problems.error(&path, message, "at most 1048576 (1 MiB) are allowed");
        }
    }
}

pub(super) fn network(spec: &NetworkSpec, problems: &mut Problems) {
    let pool = &spec.ipv4_address_pool;
    if !pool.is_empty()
        && let Err(message) = cidr(pool)
    {
        problems.error("spec.ipv4AddressPool", message, "write for example `10.20.0.0/16`");
    }
}

/// An IPv4 network with its length; bits beyond the length are 0.
fn cidr(text: &str) -> Result<(), String> {
    let wrong = || format!("`{text}` is not an IPv4 address range");
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let length: u32 = length.parse().map_err(|_| wrong())?;
    let IpAddr::V4(address) = address.parse::<IpAddr>().map_err(|_| wrong())? else {
        return Err(wrong());
    };
    if !(1..=30).contains(&length) {
        return Err(format!("`{text}` has no room for containers, the length must be 1 to 30"));
    }
    let mask = u32::MAX << (32 - length);
    let network = std::net::Ipv4Addr::from(u32::from(address) & mask);
    if network != address {
        return Err(format!(
            "`{text}` has bits beyond its length, the network is `{network}/{length}`"
        ));
    }
    Ok(())
}

pub(super) fn gitops(spec: &GitopsSpec, problems: &mut Problems) {
    let url = spec.repo_url.as_str();
    let known = ["https://", "http://", "ssh://", "git://", "file://"];
    let has_scheme = known.iter().any(|s| url.strip_prefix(s).is_some_and(|rest| !rest.is_empty()));
    // `user@host:path`, as `git clone` takes it.
    let is_scp = !url.contains("://")
        && url.split_once('@').and_then(|(_, rest)| rest.split_once(':')).is_some_and(
            |(host, path)| !host.is_empty() && !path.is_empty() && !host.contains('/'),
        );
    if url.is_empty() {
        problems.error("spec.repoURL", "is empty", "");
    } else if url.contains(char::is_whitespace) || !(has_scheme || is_scp) {
        let hint = "allowed: `https://...`, `ssh://...` or `git@host:path`";
        problems.error(
            "spec.repoURL",
            format!("`{}` is not a repository address", masked(url)),
            hint,
        );
    } else if carries_password(url) {
        let hint = "put user and password into an `httpauth` object and name it in `httpAuthRef`";
        problems.error("spec.repoURL", "carries a password", hint);
    }
    if spec.revision.contains(char::is_whitespace) || spec.revision.starts_with('-') {
        let message = format!("`{}` is not a branch, tag or commit", spec.revision);
        problems.error("spec.revision", message, "");
    }
    if spec.directory_path.split('/').any(|part| part == "..") {
        let message = format!("`{}` leads out of the repository", spec.directory_path);
        problems.error("spec.directoryPath", message, "");
    }
    if spec.pooling_interval.is_some_and(|i| i.0.as_secs() < 1) {
        problems.error("spec.poolingInterval", "must be at least 1s", "");
    }
    for (path, reference) in
        [("spec.certKeyRef", &spec.cert_key_ref), ("spec.httpAuthRef", &spec.http_auth_ref)]
    {
        if let Some(reference) = reference {
            credential(reference, path, problems);
        }
    }
    if spec.cert_key_ref.is_some() && spec.http_auth_ref.is_some() {
        let hint = "keep the one that fits `repoURL`";
        problems.error("spec.httpAuthRef", "there is a `certKeyRef` as well", hint);
    }
}

fn credential(reference: &CredentialRef, path: &str, problems: &mut Problems) {
    if !reference.prefix.is_empty() {
        names::prefix(&reference.prefix, &format!("{path}.prefix"), problems);
    }
    names::name(&reference.group, &format!("{path}.group"), false, problems);
    names::name(&reference.name, &format!("{path}.name"), false, problems);
}

fn carries_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// An address without what is before `@`, which may be a password.
fn masked(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("...@{rest}"),
        None => url.to_owned(),
    }
}

pub(super) fn certkey(spec: &CertkeySpec, problems: &mut Problems) {
    if *spec == CertkeySpec::default() {
        problems.error("spec", "has no key and no certificate", "see `smrctl explain certkey`");
    }
}

pub(super) fn httpauth(spec: &HttpauthSpec, problems: &mut Problems) {
    if spec.username.is_empty() {
        problems.error("spec.username", "is empty", "");
    } else if spec.username.contains(':') && !is_template(&spec.username) {
        problems.error(
            "spec.username",
            "contains `:`, which HTTP basic authentication forbids",
            "",
        );
    }
}
