//! Whether an existing network or volume is what was asked for.

use std::{collections::BTreeMap, net::IpAddr};

use crate::types::{Network, NetworkRequest, Volume, VolumeRequest};

/// One sentence per difference.
pub(crate) fn differences(request: &NetworkRequest, have: &Network) -> Vec<String> {
    let mut found = Vec::new();
    let driver = if request.driver.is_empty() { "bridge" } else { &request.driver };
    if have.driver != driver {
        found.push(format!("driver is `{}`, not `{driver}`", have.driver));
    }
    let wanted = &request.subnet;
    if !wanted.is_empty() && !have.subnets.iter().any(|subnet| same_range(subnet, wanted)) {
        found.push(format!("address range is `{}`, not `{wanted}`", have.subnets.join(", ")));
    }
    if have.internal != request.internal {
        let says = |internal| if internal { "internal" } else { "not internal" };
        found.push(format!("it is {}, not {}", says(have.internal), says(request.internal)));
    }
    found.extend(option_differences(&request.options, &have.options));
    found
}

/// One sentence per difference.
pub(crate) fn volume_differences(request: &VolumeRequest, have: &Volume) -> Vec<String> {
    let mut found = Vec::new();
    let driver = if request.driver.is_empty() { "local" } else { &request.driver };
    if have.driver != driver {
        found.push(format!("driver is `{}`, not `{driver}`", have.driver));
    }
    found.extend(option_differences(&request.options, &have.options));
    found
}

/// Values are left out: options of volumes may carry passwords.
fn option_differences<'a>(
    wanted: &'a BTreeMap<String, String>,
    have: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = String> + 'a {
    // The engine may have added some of its own.
    let differing = wanted.iter().filter(|(key, value)| have.get(*key) != Some(value));
    differing.map(|(key, _)| format!("option `{key}` differs"))
}

fn same_range(a: &str, b: &str) -> bool {
    match (range(a), range(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// Address with the host bits cleared, and prefix length.
fn range(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    let address = match address.parse().ok()? {
        IpAddr::V4(v4) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
        _ => return None,
    };
    Some((address, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_compared_as_ranges_and_engine_options_do_not_count() {
        let request = NetworkRequest {
            name: "n".into(),
            subnet: "10.10.23.7/24".into(),
            ..Default::default()
        };
        let mut have = Network {
            driver: "bridge".into(),
            subnets: vec!["10.10.23.0/24".into()],
            options: BTreeMap::from([("added.by.engine".into(), "true".into())]),
            ..Default::default()
        };
        assert_eq!(differences(&request, &have), Vec::<String>::new());
        have.subnets = vec!["10.10.24.0/24".into()];
        have.internal = true;
        assert_eq!(
            differences(&request, &have),
            [
                "address range is `10.10.24.0/24`, not `10.10.23.7/24`",
                "it is internal, not not internal"
            ]
        );
    }
}
