//! Schedules as a CronJob takes them, read the way the API server does (kubernetes `pkg/apis/batch/validation`, which uses
//! robfig/cron v3 `ParseStandard`). A wrong one is refused here and not by the cluster.

use std::fmt;
use std::str::FromStr;

/// A schedule that the API server accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schedule(String);

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The five fields: name, least, largest, names of the values.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of the month", 1, 31, &[]),
    ("month", 1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of the week", 0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

const MACROS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains("TZ=") {
            return Err("a schedule holds no time zone; name it with --time-zone".to_owned());
        }
        if text.starts_with('@') {
            let every = text.strip_prefix("@every ").is_some_and(is_duration);
            let known = MACROS.contains(&text) || every;
            return if known { Ok(Self(text.to_owned())) } else { Err(format!("use one of {}", MACROS.join(", "))) };
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            let want = "minute, hour, day of the month, month, day of the week, such as \"0 3 * * *\"";
            return Err(format!("it has {} fields, not the five {want}", fields.len()));
        }
        for (field, bounds) in fields.iter().zip(FIELDS) {
            for part in field.split(',') {
                range(part, bounds).map_err(|why| format!("{} {field:?}: {why}", bounds.0))?;
            }
        }
        Ok(Self(fields.join(" ")))
    }
}

/// `*`, `5`, `1-5`, `mon-fri`, each with `/step`.
fn range(text: &str, (_, least, largest, words): (&str, u32, u32, &[&str])) -> Result<(), String> {
    let (values, step) = text.split_once('/').map_or((text, None), |(values, step)| (values, Some(step)));
    if step.is_some_and(|step| number(step).is_none_or(|step| step == 0)) {
        return Err("a step is a number above 0".to_owned());
    }
    if values == "*" || values == "?" {
        return Ok(());
    }
    let value = |text: &str| {
        let named = words.iter().position(|word| *word == text.to_lowercase()).and_then(|at| u32::try_from(at).ok());
        let value = named.map(|at| at + least).or_else(|| number(text));
        let within = value.filter(|value| (least..=largest).contains(value));
        within.ok_or_else(|| format!("{text:?} is not within {least} to {largest}"))
    };
    let (from, to) = values.split_once('-').unwrap_or((values, values));
    if value(from)? > value(to)? { Err("its end is before its beginning".to_owned()) } else { Ok(()) }
}

/// Digits alone: std would take a plus sign as well.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A duration as Go writes it, in whole units of a second or more.
fn is_duration(text: &str) -> bool {
    let parts: Vec<&str> = text.split_inclusive(['h', 'm', 's']).collect();
    !parts.is_empty()
        && parts.iter().all(|part| part.strip_suffix(['h', 'm', 's']).and_then(number).is_some_and(|count| count > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_takes_is_taken() {
        for text in
            ["0 3 * * *", "*/15 0-5 1,15 jan-MAR mon", "5/10 * ? * 0", "@daily", "@every 1h30m", " 0  3 * * 1-5 "]
        {
            assert!(text.parse::<Schedule>().is_ok(), "{text}");
        }
        assert_eq!(" 0  3 * * 1-5 ".parse::<Schedule>().unwrap().to_string(), "0 3 * * 1-5");
    }

    #[test]
    fn what_it_refuses_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "0 fields"),
            ("0 3 * *", "4 fields"),
            ("0 0 3 * * *", "6 fields"),
            ("60 3 * * *", "minute \"60\""),
            ("0 3 0 * *", "not within 1 to 31"),
            ("0 3 * * 7", "not within 0 to 6"),
            ("0 3 * * x", "not within"),
            ("*/0 3 * * *", "above 0"),
            ("5-1 3 * * *", "before its beginning"),
            ("1,,2 3 * * *", "not within"),
            ("+5 3 * * *", "not within"),
            ("@reboot", "@daily"),
            ("@every", "@daily"),
            ("@every 1x", "@daily"),
            ("@every 1ä", "@daily"),
            ("TZ=UTC 0 3 * * *", "--time-zone"),
        ] {
            let refused = text.parse::<Schedule>().unwrap_err();
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
    }
}
