//! Tables for people: columns as wide as what is in them, cut to the terminal, with colours where they help. Pure.

use time::OffsetDateTime;

use super::boxes::Row;

/// A cell and how it is meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

/// How a cell is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Good,
    Bad,
    Busy,
    Faint,
    Head,
}

impl Tone {
    /// SGR parameters (ECMA-48, section 8.3.117).
    const fn sgr(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Busy => "33",
            Tone::Faint => "2",
            Tone::Head => "1",
        }
    }
}

/// A cell; control characters, which a box might send to play with the terminal, become dots.
pub(super) fn cell(text: impl AsRef<str>, tone: Tone) -> Cell {
    let text = text.as_ref().chars().map(|c| if c.is_control() { '·' } else { c }).collect();
    Cell { text, tone }
}

/// How much room there is, and whether there are colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Columns; longer lines are cut.
    pub(super) width: usize,
    pub(super) colour: bool,
}

impl Look {
    /// For files and pipes.
    pub(super) const PLAIN: Look = Look { width: usize::MAX, colour: false };
}

/// Longest cell but the last of a line.
const CELL: usize = 28;

/// The lines of a table.
pub(super) fn lines(head: &[&str], rows: &[Vec<Cell>], look: Look) -> Vec<String> {
    let head: Vec<Cell> = head.iter().map(|text| cell(text, Tone::Head)).collect();
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| {
        let cells = all().filter_map(|row| row.get(column));
        cells.map(|cell| cell.text.chars().count().min(CELL)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    all().map(|row| line(row, &widths, look)).collect()
}

fn line(row: &[Cell], widths: &[usize], look: Look) -> String {
    let mut line = String::new();
    let mut left = look.width;
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        let is_last = column + 1 == row.len();
        let room = if is_last { left } else { left.min(*width) };
        let shown = cut(&cell.text, room);
        let length = shown.chars().count();
        let (sgr, blanks) = (cell.tone.sgr(), if is_last { 0 } else { room - length + 2.min(left - room) });
        match look.colour && !sgr.is_empty() && length > 0 {
            true => line.push_str(&format!("\u{1b}[{sgr}m{shown}\u{1b}[0m")),
            false => line.push_str(&shown),
        }
        line.push_str(&" ".repeat(blanks));
        left = left.saturating_sub(length + blanks);
    }
    line.trim_end().to_owned()
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        short.push('…');
    }
    short
}

/// The table of boxes at `now`.
pub(super) fn boxes(rows: &[Row], now: OffsetDateTime, look: Look) -> Vec<String> {
    let head = ["BOX", "NAME", "STATUS", "SINCE", "ROOM", "RECORDING", "LIVE", "MIC", "VERSION", "TROUBLE"];
    lines(&head, &rows.iter().map(|row| cells(row, now)).collect::<Vec<_>>(), look)
}

fn cells(row: &Row, now: OffsetDateTime) -> Vec<Cell> {
    let status = match row.status.as_str() {
        "online" => Tone::Good,
        "offline" => Tone::Bad,
        _ => Tone::Busy,
    };
    // What an absent box was doing is no news.
    let here = row.status == "online";
    let doing = |tone: Tone| if here { tone } else { Tone::Faint };
    let none = || cell("-", Tone::Faint);
    let room = row.room.as_ref().map_or_else(none, |(name, status, people)| match status.as_str() {
        "joined" => cell(format!("{name} ({people})"), doing(Tone::Plain)),
        other => cell(format!("{name}: {}", other.replace('_', " ")), doing(Tone::Busy)),
    });
    let recording = row.recording.as_ref().map_or_else(none, |one| match (one.works, one.started) {
        (false, _) => cell("stopped", doing(Tone::Busy)),
        (true, Some(at)) => cell(format!("● {}", clock(now - at)), doing(Tone::Bad)),
        (true, None) => cell("●", doing(Tone::Bad)),
    });
    let live = row.live.map_or_else(none, |(works, all)| {
        cell(format!("{works} of {all}"), doing(if works == all { Tone::Good } else { Tone::Busy }))
    });
    vec![
        cell(&row.id, Tone::Plain),
        cell(&row.name, Tone::Plain),
        cell(&row.status, status),
        row.since.map_or_else(none, |at| cell(age(now - at), Tone::Faint)),
        room,
        recording,
        live,
        if row.muted { cell("muted", doing(Tone::Busy)) } else { none() },
        cell(&row.version, Tone::Faint),
        cell(row.trouble.as_deref().unwrap_or_default(), doing(Tone::Bad)),
    ]
}

/// `5 boxes: 4 online, 2 in a room, 1 recording, 1 live`
pub(super) fn summary(rows: &[Row]) -> String {
    let here: Vec<&Row> = rows.iter().filter(|row| row.status == "online").collect();
    let count = |is: fn(&Row) -> bool| here.iter().filter(|row| is(row)).count();
    format!(
        "{} box{}: {} online, {} in a room, {} recording, {} live",
        rows.len(),
        if rows.len() == 1 { "" } else { "es" },
        here.len(),
        count(|row| row.room.is_some()),
        count(|row| row.recording.as_ref().is_some_and(|one| one.works)),
        count(|row| row.live.is_some()),
    )
}

/// A span of time in its largest unit: `12 s`, `3 min`, `2 h`, `5 d`.
fn age(span: time::Duration) -> String {
    let seconds = span.whole_seconds().max(0);
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", seconds / 60),
        6000..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1:02:03`, `2:03`
fn clock(span: time::Duration) -> String {
    let seconds = span.whole_seconds().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::ctl::boxes::Recording;

    const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

    fn row(id: &str, status: &str) -> Row {
        Row {
            id: id.to_owned(),
            name: "Lobby".to_owned(),
            status: status.to_owned(),
            since: Some(NOW - time::Duration::minutes(5)),
            room: Some(("stage".to_owned(), "joined".to_owned(), 3)),
            recording: Some(Recording {
                id: "r1".to_owned(),
                started: Some(NOW - time::Duration::seconds(3723)),
                works: true,
            }),
            live: Some((1, 2)),
            muted: true,
            trouble: None,
            version: "0.1.0".to_owned(),
        }
    }

    #[test]
    fn columns_stand_below_each_other_and_long_lines_are_cut() {
        let rows = [row("a", "online"), row("long-id", "offline")];
        let plain = boxes(&rows, NOW, Look::PLAIN);
        assert_eq!(plain[1], "a        Lobby  online   5 min  stage (3)  ● 1:02:03  1 of 2  muted  0.1.0");
        let at = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count());
        assert!(plain.iter().skip(1).all(|line| at(line, "stage") == at(&plain[0], "ROOM")), "{plain:#?}");
        for width in 0..100 {
            let cut = boxes(&rows, NOW, Look { width, colour: false });
            assert!(cut.iter().all(|line| line.chars().count() <= width), "{width}: {cut:#?}");
        }
        assert_eq!(summary(&rows), "2 boxes: 1 online, 1 in a room, 1 recording, 1 live");
    }

    #[test]
    fn colours_change_no_width_and_a_box_cannot_play_with_the_terminal() {
        let mut evil = row("a", "online");
        evil.name = "\u{1b}[2J\nx".to_owned();
        let look = Look { width: 200, colour: true };
        let (coloured, plain) =
            (boxes(&[evil.clone()], NOW, look), boxes(&[evil], NOW, Look { colour: false, ..look }));
        let mut stripped = coloured.join("\n");
        for sgr in ["32", "1;31", "33", "2", "1", "0"] {
            stripped = stripped.replace(&format!("\u{1b}[{sgr}m"), "");
        }
        assert_eq!(stripped, plain.join("\n"));
        assert!(plain[1].contains("·[2J·x"), "{plain:?}");
    }

    #[test]
    fn spans_are_told_in_the_unit_that_fits() {
        for (seconds, text) in [(-5, "0 s"), (99, "99 s"), (100, "1 min"), (7200, "2 h"), (200_000, "2 d")] {
            assert_eq!(age(time::Duration::seconds(seconds)), text);
        }
    }
}
