//! Names of folders and files, from words that anybody may have chosen.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

/// The folder of recordings of the box's own stream.
pub(super) const BOX: &str = "box";
/// What a file is called until its first part is on the disk.
pub(super) const NEW: &str = "mp4.new";
/// Longest name of a folder or an id, in bytes; 255 is what file systems allow with all the rest.
const MAX_BYTES: usize = 120;

/// The folder of `room`: one path component, never hidden, never `..`.
pub(super) fn folder(room: Option<&str>) -> String {
    room.map_or_else(|| BOX.to_owned(), component)
}

/// `20261120T093000Z-<id>`, and `-2`, `-3` … for later files of the same second.
pub(super) fn stem(started: SystemTime, id: &str, attempt: u32) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    // Fails only for years that a file name cannot have either.
    let stamp =
        OffsetDateTime::from(started).format(format).unwrap_or_else(|_| "19700101T000000Z".to_owned());
    match attempt {
        0 | 1 => format!("{stamp}-{}", component(id)),
        more => format!("{stamp}-{}-{more}", component(id)),
    }
}

/// What [`stem`] was made from, for a file that the catalogue does not know: RFC 3339 start and id.
pub(super) fn parse_stem(stem: &str) -> Option<(String, String)> {
    let (stamp, id) = stem.split_once("Z-")?;
    let (date, time) = stamp.split_once('T')?;
    let digits =
        date.len() == 8 && time.len() == 6 && date.bytes().chain(time.bytes()).all(|b| b.is_ascii_digit());
    let cut = |text: &str, at: usize, len: usize| text.get(at..at + len).map(str::to_owned);
    let started_at = format!(
        "{}-{}-{}T{}:{}:{}Z",
        cut(date, 0, 4)?,
        cut(date, 4, 2)?,
        cut(date, 6, 2)?,
        cut(time, 0, 2)?,
        cut(time, 2, 2)?,
        cut(time, 4, 2)?
    );
    (digits && !id.is_empty()).then(|| (started_at, id.to_owned()))
}

fn component(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        let kept = char.is_alphanumeric() || matches!(char, '-' | '_') || (char == '.' && !out.is_empty());
        let char = if kept { char } else { '_' };
        if out.len() + char.len_utf8() > MAX_BYTES {
            break;
        }
        out.push(char);
    }
    if out.is_empty() { "_".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn no_room_can_leave_the_folder_of_recordings() {
        for room in
            ["..", "../../etc", "/etc", ".hidden", "", "a/b\\c\0d\ne", &"x".repeat(500), &"日".repeat(128)]
        {
            let folder = folder(Some(room));
            assert!(!folder.is_empty() && folder.len() <= MAX_BYTES, "{room:?}");
            assert!(!folder.starts_with('.') && !folder.contains(['/', '\\', '\0', '\n']), "{folder:?}");
        }
        assert_eq!(folder(Some("Board room 3.1")), "Board_room_3.1");
        assert_eq!(folder(None), "box");
    }

    #[test]
    fn a_name_says_when_and_which() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_166_999);
        assert_eq!(stem(at, "abc", 1), "20261120T092959Z-abc");
        assert_eq!(stem(at, "abc", 3), "20261120T092959Z-abc-3");
        assert_eq!(
            parse_stem("20261120T092959Z-abc"),
            Some(("2026-11-20T09:29:59Z".to_owned(), "abc".to_owned()))
        );
        for bad in ["", "holiday", "T-", "2026T09Z-x", "20261120T092959Z-", "ééééT092959Z-x"] {
            assert_eq!(parse_stem(bad), None, "{bad}");
        }
    }
}
