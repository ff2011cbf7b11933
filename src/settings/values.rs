//! From a key's text to its value, with messages that say what would be right.

use std::time::Duration;

pub(super) fn whole(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let value: i64 = text.parse().map_err(|_| format!("{text:?} is not a whole number"))?;
    u32::try_from(value).ok().filter(|v| (least..=most).contains(v)).ok_or_else(|| format!("{value} is out of range: {least} to {most}"))
}

/// A bare number is seconds, as in the environment of the step that nerd replaces; else `500ms`, `90s`, `2h 30m`.
pub(super) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let value = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text:?} is not a duration"))?,
        Err(_) => humantime::parse_duration(text).map_err(|_| format!("{text:?} is not a duration: write 500ms, 30s, 5m or 2h"))?,
    };
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(format!(
        "{} is out of range: {} to {}",
        humantime::format_duration(value),
        humantime::format_duration(least),
        humantime::format_duration(most)
    ))
}

/// A bare number is bytes; else `64KB`, `16MB`, `1GiB`.
pub(super) fn size(text: &str, most: u64) -> Result<u64, String> {
    let value = text.parse::<bytesize::ByteSize>().map_err(|_| format!("{text:?} is not a size: write 0, 64KB or 16MB"))?.as_u64();
    if value <= most { Ok(value) } else { Err(format!("{value} bytes are out of range: at most {most}")) }
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

pub(super) fn one_of(text: &str, choices: &[&str]) -> Result<String, String> {
    if choices.contains(&text) { Ok(text.to_owned()) } else { Err(format!("{text:?} is none of {}", choices.join(", "))) }
}

/// A text with `{field}` in it, to be filled in later.
pub(super) fn template(text: &str, fields: &[&str], longest: usize) -> Result<String, String> {
    let known = || fields.iter().map(|field| format!("{{{field}}}")).collect::<Vec<_>>().join(", ");
    if text.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > longest {
        return Err(format!("has {} bytes: at most {longest}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character".to_owned());
    }
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let field = rest[at..].strip_prefix('{').and_then(|open| open.split_once('}'));
        match field {
            Some((name, after)) if fields.contains(&name) => rest = after,
            Some((name, _)) => return Err(format!("{{{name}}} is no field: there are {}", known())),
            None => return Err(format!("{:?} is an unpaired brace: fields are {}", &rest[at..=at], known())),
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_range() {
        assert_eq!(whole("7", 1, 9), Ok(7));
        assert!(whole("0", 1, 9).unwrap_err().contains("out of range: 1 to 9"));
        assert!(whole("-1", 0, 9).unwrap_err().contains("out of range"));
        assert!(whole("two", 0, 9).unwrap_err().contains("not a whole number"));
    }

    #[test]
    fn sizes_with_and_without_unit() {
        assert_eq!(["0", "4096", "16MB", "1MiB"].map(|text| size(text, 1 << 30)), [Ok(0), Ok(4096), Ok(16_000_000), Ok(1 << 20)]);
        assert!(size("2GB", 1 << 30).unwrap_err().contains("out of range"));
        assert!(size("much", 9).unwrap_err().contains("write 0, 64KB or 16MB"));
        assert!(size("-1", 9).is_err());
    }

    #[test]
    fn switches_are_true_or_false() {
        assert_eq!((switch("true"), switch("false")), (Ok(true), Ok(false)));
        assert!(switch("maybe").unwrap_err().contains("neither true nor false"));
    }

    #[test]
    fn templates_hold_known_fields() {
        let read = |text: &str| template(text, &["model", "version"], 40);
        assert_eq!(read("spacy-like {model}/{version}").as_deref(), Ok("spacy-like {model}/{version}"));
        assert_eq!(read("plain").as_deref(), Ok("plain"));
        for (text, part) in [
            (" ", "is empty"),
            ("{modle}", "{modle} is no field: there are {model}, {version}"),
            ("{model", "unpaired brace"),
            ("model}", "unpaired brace"),
            ("a\nb", "control character"),
            ("0123456789012345678901234567890123456789+", "41 bytes: at most 40"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn durations_with_and_without_unit() {
        let (least, most) = (Duration::ZERO, Duration::from_secs(3600));
        assert_eq!(duration("60", least, most), Ok(Duration::from_secs(60)));
        assert_eq!(duration("0.5", least, most), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m", least, most), Ok(Duration::from_secs(300)));
        assert!(duration("2h", least, most).unwrap_err().contains("0s to 1h"));
        assert!(duration("-3", least, most).is_err());
        assert!(duration("soon", least, most).unwrap_err().contains("write 500ms"));
    }
}
