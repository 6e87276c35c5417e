//! The picture that stands in for the camera: dark, with the box's name and why there is no camera.

use crate::base::clock::MediaTime;
use crate::base::units::Size;
use crate::capture::test::canvas::{Canvas, Colour};
use crate::capture::test::font;
use crate::media::{FramePool, VideoFrame};

/// Dark blue.
const GROUND: Colour = Colour(32, 136, 124);
const NAME: u8 = 200;
const TEXT: u8 = 150;
/// Letters of a line of the text.
const LINE: usize = 36;
/// Lines of it at most.
const LINES: usize = 4;

/// Draws the slate once for each text, and copies it from then on.
pub struct Slate {
    name: String,
    pool: FramePool,
    drawn: Option<(String, VideoFrame)>,
}

impl Slate {
    /// For pictures of `size` with the box's `name`.
    pub fn new(size: Size, name: &str) -> Self {
        Slate { name: name.to_owned(), pool: FramePool::new(size), drawn: None }
    }

    /// The slate that says `text`, as a picture of `captured`.
    pub fn picture(&mut self, text: &str, captured: MediaTime) -> VideoFrame {
        let kept = self.drawn.take().filter(|(said, _)| said == text);
        let new = || (text.to_owned(), draw(self.pool.size(), &self.name, text));
        let (_, drawn) = self.drawn.insert(kept.unwrap_or_else(new));
        let mut frame = self.pool.take(captured);
        frame.data_mut().copy_from_slice(drawn.data());
        frame
    }
}

fn draw(size: Size, name: &str, text: &str) -> VideoFrame {
    let mut frame = VideoFrame::black(size, MediaTime::ZERO);
    let (width, height) = (size.width as usize, size.height as usize);
    let mut canvas = Canvas::new(&mut frame);
    canvas.fill(0, 0, width, height, GROUND);
    let left = width / 16;
    // Letters as large as lets a line of text fit between the margins.
    let dot = ((width - 2 * left) / (LINE * font::ADVANCE)).max(1);
    let line = (width - 2 * left) / (dot * font::ADVANCE);
    let name: String = name.chars().take(line).collect();
    canvas.text(&name, left, height / 4, dot, NAME);
    for (n, words) in wrap(text, line).into_iter().take(LINES).enumerate() {
        let top = height / 2 + n * (font::HEIGHT + 4) * dot;
        canvas.text(&words, left, top, dot, TEXT);
    }
    frame
}

/// Lines of at most `most` letters, broken between words where that can be.
fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(most.max(1)) {
            let last = lines
                .last_mut()
                .filter(|line| line.is_empty() || line.chars().count() + 1 + piece.len() <= most);
            let piece: String = piece.iter().collect();
            match last {
                Some(line) if line.is_empty() => line.push_str(&piece),
                Some(line) => *line = format!("{line} {piece}"),
                None => lines.push(piece),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_anywhere() {
        assert_eq!(wrap("no camera: none is connected", 12), ["no camera:", "none is", "connected"]);
        assert_eq!(wrap("/dev/v4l/by-id/usb-x", 8), ["/dev/v4l", "/by-id/u", "sb-x"]);
        assert_eq!(wrap("", 8), [""]);
    }

    #[test]
    fn the_slate_says_what_it_is_told_at_every_size() {
        for size in [Size::new(1280, 720), Size::new(160, 90), Size::new(90 * 4, 640), Size::new(3840, 2160)]
        {
            let mut slate = Slate::new(size, "Küche 7");
            let one = slate.picture("no camera: none is connected", MediaTime::ZERO);
            let again = slate.picture("no camera: none is connected", MediaTime::from_millis(200));
            assert_eq!((one.data(), again.captured), (again.data(), MediaTime::from_millis(200)));
            let other = slate.picture("no camera: /dev/video0 was unplugged", MediaTime::ZERO);
            assert_ne!(one.data(), other.data());
            let luma = one.planes().0;
            assert!(luma.contains(&NAME) && luma.contains(&TEXT) && luma.iter().all(|y| *y <= NAME));
        }
    }
}
