//! Go's reference-time layouts: `Mon Jan 2 15:04:05 MST 2006`.

use jiff::Zoned;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Plain elements, longest first where one starts with another.
const ELEMENTS: [(&str, Element); 36] = [
    ("January", Element::LongMonth),
    ("Jan", Element::Month),
    ("Monday", Element::LongWeekday),
    ("Mon", Element::Weekday),
    ("MST", Element::ZoneName),
    ("2006", Element::Year),
    ("-07:00:00", Element::Offset { colons: true, fields: 3, zulu: false }),
    ("-070000", Element::Offset { colons: false, fields: 3, zulu: false }),
    ("-07:00", Element::Offset { colons: true, fields: 2, zulu: false }),
    ("-0700", Element::Offset { colons: false, fields: 2, zulu: false }),
    ("-07", Element::Offset { colons: false, fields: 1, zulu: false }),
    ("Z07:00:00", Element::Offset { colons: true, fields: 3, zulu: true }),
    ("Z070000", Element::Offset { colons: false, fields: 3, zulu: true }),
    ("Z07:00", Element::Offset { colons: true, fields: 2, zulu: true }),
    ("Z0700", Element::Offset { colons: false, fields: 2, zulu: true }),
    ("Z07", Element::Offset { colons: false, fields: 1, zulu: true }),
    ("__2", Element::YearDay(' ')),
    ("002", Element::YearDay('0')),
    ("_2", Element::Day(Some(' '))),
    ("01", Element::MonthNumber(true)),
    ("02", Element::Day(Some('0'))),
    ("03", Element::Hour12(true)),
    ("04", Element::Minute(true)),
    ("05", Element::Second(true)),
    ("06", Element::ShortYear),
    ("15", Element::Hour),
    ("1", Element::MonthNumber(false)),
    ("2", Element::Day(None)),
    ("3", Element::Hour12(false)),
    ("4", Element::Minute(false)),
    ("5", Element::Second(false)),
    ("PM", Element::HalfDay("AM", "PM")),
    ("pm", Element::HalfDay("am", "pm")),
    (".0", Element::Fraction { separator: '.', trim: false }),
    (".9", Element::Fraction { separator: '.', trim: true }),
    (",0", Element::Fraction { separator: ',', trim: false }),
];

/// A part of a layout that is replaced.
#[derive(Clone, Copy)]
enum Element {
    LongMonth,
    Month,
    MonthNumber(bool),
    LongWeekday,
    Weekday,
    /// The padding to two characters, if any.
    Day(Option<char>),
    /// The padding to three characters.
    YearDay(char),
    Year,
    ShortYear,
    Hour,
    Hour12(bool),
    Minute(bool),
    Second(bool),
    HalfDay(&'static str, &'static str),
    ZoneName,
    Offset {
        colons: bool,
        fields: usize,
        zulu: bool,
    },
    /// Its length follows from how often the digit repeats.
    Fraction {
        separator: char,
        trim: bool,
    },
}

/// Formats `time` as Go's `Time.Format(layout)` does.
pub(super) fn format(layout: &str, time: &Zoned) -> String {
    let mut result = String::with_capacity(layout.len() + 16);
    let mut rest = layout;
    while let Some(character) = rest.chars().next() {
        if let Some((element, length)) = element(rest) {
            write(&mut result, element, length, time);
            rest = &rest[length..];
        } else {
            result.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    result
}

/// The element at the start of `rest` and its length.
fn element(rest: &str) -> Option<(Element, usize)> {
    // `_2006` is an underscore and a year.
    if rest.starts_with("_2006") {
        return None;
    }
    if rest.starts_with(",9") {
        return fraction(rest, Element::Fraction { separator: ',', trim: true });
    }
    let (pattern, element) = ELEMENTS.iter().find(|(pattern, _)| rest.starts_with(pattern))?;
    let follows_lower = rest[pattern.len()..].starts_with(|next: char| next.is_ascii_lowercase());
    match element {
        Element::Month | Element::Weekday if follows_lower => None,
        Element::Fraction { .. } => fraction(rest, *element),
        _ => Some((*element, pattern.len())),
    }
}

/// A fraction is a run of one digit that no other digit follows.
fn fraction(rest: &str, element: Element) -> Option<(Element, usize)> {
    let digits = &rest.as_bytes()[1..];
    let length = digits.iter().take_while(|byte| **byte == digits[0]).count();
    let ends = digits.get(length).is_none_or(|byte| !byte.is_ascii_digit());
    ends.then_some((element, length + 1))
}

fn write(result: &mut String, element: Element, length: usize, time: &Zoned) {
    let month = MONTHS[usize::from(time.month().unsigned_abs()) - 1];
    let weekday = DAYS[usize::from(time.weekday().to_monday_zero_offset().unsigned_abs())];
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let two = |padded: bool, number: i8| {
        if padded { format!("{number:02}") } else { number.to_string() }
    };
    let part = match element {
        Element::LongMonth => month.to_owned(),
        Element::Month => month[..3].to_owned(),
        Element::MonthNumber(padded) => two(padded, time.month()),
        Element::LongWeekday => weekday.to_owned(),
        Element::Weekday => weekday[..3].to_owned(),
        Element::Day(None) => time.day().to_string(),
        Element::Day(Some(' ')) => format!("{:2}", time.day()),
        Element::Day(Some(_)) => two(true, time.day()),
        Element::YearDay(' ') => format!("{:3}", time.day_of_year()),
        Element::YearDay(_) => format!("{:03}", time.day_of_year()),
        Element::Year => format!("{:04}", time.year()),
        Element::ShortYear => format!("{:02}", time.year().rem_euclid(100)),
        Element::Hour => two(true, time.hour()),
        Element::Hour12(padded) => two(padded, hour12),
        Element::Minute(padded) => two(padded, time.minute()),
        Element::Second(padded) => two(padded, time.second()),
        Element::HalfDay(before_noon, after_noon) => {
            if time.hour() < 12 { before_noon } else { after_noon }.to_owned()
        }
        Element::ZoneName => zone_name(time),
        Element::Offset { zulu: true, .. } if time.offset().seconds() == 0 => "Z".to_owned(),
        Element::Offset { colons, fields, .. } => offset(time, colons, fields),
        Element::Fraction { separator, trim } => {
            // Go stops at nanoseconds and fills up with nothing.
            let digits = format!("{:09}", time.subsec_nanosecond());
            let digits = &digits[..(length - 1).min(9)];
            let digits = if trim { digits.trim_end_matches('0') } else { digits };
            if digits.is_empty() { String::new() } else { format!("{separator}{digits}") }
        }
    };
    result.push_str(&part);
}

fn zone_name(time: &Zoned) -> String {
    if time.offset().seconds() == 0 && time.time_zone().iana_name().is_none_or(|name| name == "UTC")
    {
        return "UTC".to_owned();
    }
    let name = time.strftime("%Z").to_string();
    if name.starts_with(['+', '-']) { offset(time, false, 2) } else { name }
}

fn offset(time: &Zoned, colons: bool, fields: usize) -> String {
    let seconds = time.offset().seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let separator = if colons { ":" } else { "" };
    let parts = [seconds / 3600, seconds / 60 % 60, seconds % 60];
    let parts: Vec<String> = parts[..fields].iter().map(|part| format!("{part:02}")).collect();
    format!("{sign}{}", parts.join(separator))
}
