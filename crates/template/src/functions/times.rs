//! Time functions.
//!
//! A time is a string in the form Go prints it, `2006-01-02 15:04:05.999999999 -0700 MST`, so that
//! printing `now` reads as it does in Go. RFC 3339 text and Unix seconds are accepted as well.

use gotmpl::Value;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::layout::format;
use super::{Failure, Function, Outcome, argument, exactly, string, text, wrong_type};

/// How Go prints a time.
const GO_FORM: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

pub(super) const FUNCTIONS: &[Function] = &[
    exactly("now", 0, |environment, _| {
        string(format(GO_FORM, &environment.now.to_zoned(TimeZone::UTC)))
    }),
    exactly("date", 2, |_, a| string(format(text(a, 0)?, &time(a, 1)?))),
    exactly("dateInZone", 3, |_, a| {
        let time = time(a, 2)?.with_time_zone(zone(text(a, 1)?)?);
        string(format(text(a, 0)?, &time))
    }),
    exactly("unixEpoch", 1, unix_epoch),
];

fn unix_epoch(_: &super::Environment, arguments: &[Value]) -> Outcome {
    Ok(Value::Int(time(arguments, 0)?.timestamp().as_second()))
}

fn time(arguments: &[Value], index: usize) -> Result<Zoned, Failure> {
    match &arguments[index] {
        Value::Int(seconds) => Timestamp::from_second(*seconds)
            .map(|time| time.to_zoned(TimeZone::UTC))
            .map_err(|_| argument("the Unix time is out of range")),
        Value::String(text) => parse(text).ok_or_else(|| {
            argument(format!(
                "argument {} is not a time: use `now`, RFC 3339 text or Unix seconds",
                index + 1
            ))
        }),
        other => Err(wrong_type(index, "a time", other)),
    }
}

/// Go's or RFC 3339's text form.
fn parse(text: &str) -> Option<Zoned> {
    let mut parts = text.split_ascii_whitespace();
    let first = parts.next()?;
    let (instant, offset) = match (parts.next(), parts.next()) {
        (Some(clock), Some(offset)) => (format!("{first}T{clock}"), offset.to_owned()),
        (None, _) if first.ends_with(['Z', 'z']) => {
            (first[..first.len() - 1].to_owned(), "+0000".to_owned())
        }
        (None, _) => {
            let sign = first.rfind(['+', '-']).filter(|at| *at > 10)?;
            (first[..sign].to_owned(), first[sign..].to_owned())
        }
        _ => return None,
    };
    let zone = fixed(&offset)?;
    let civil: jiff::civil::DateTime = instant.parse().ok()?;
    civil.to_zoned(zone).ok()
}

/// `+02:00`, `-0730` or `+02`.
fn fixed(text: &str) -> Option<TimeZone> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = match digits.len() {
        1 | 2 => (digits.as_str(), "0"),
        4 => digits.split_at(2),
        _ => return None,
    };
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    if seconds == 0 {
        return Some(TimeZone::UTC);
    }
    Some(TimeZone::fixed(Offset::from_seconds(sign * seconds).ok()?))
}

/// `UTC`, a fixed offset, or a name of the zone database where the host has one.
fn zone(name: &str) -> Result<TimeZone, Failure> {
    if matches!(name, "" | "UTC" | "Local" | "Z") {
        return Ok(TimeZone::UTC);
    }
    fixed(name).or_else(|| TimeZone::get(name).ok()).ok_or_else(|| {
        argument("unknown time zone: use `UTC`, an offset such as `+02:00`, or a zone of this host")
    })
}
