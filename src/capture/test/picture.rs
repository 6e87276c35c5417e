//! The test picture: the box's name, a running clock, a ball, the time in the pixels, and a flash with every beep.

use std::sync::Arc;
use std::time::SystemTime;

use time::OffsetDateTime;

use super::canvas::{Canvas, Colour, WHITE};
use super::{BEEP, font};
use crate::base::clock::MediaTime;
use crate::base::units::Size;
use crate::capture::timestamp;
use crate::media::{FramePool, VideoFrame};

/// Luma of the flash's square while the beep sounds, and else.
const FLASH: [u8; 2] = [235, 16];
/// The plate behind name and clock.
const PLATE: Colour = Colour(48, 134, 124);
const BALL: Colour = Colour(170, 90, 190);
/// Colour bars: white, yellow, cyan, green, magenta, red, blue at three quarters (BT.601).
const BARS: [Colour; 7] = [
    Colour(180, 128, 128),
    Colour(162, 44, 142),
    Colour(131, 156, 44),
    Colour(112, 72, 58),
    Colour(84, 184, 198),
    Colour(65, 100, 212),
    Colour(35, 212, 114),
];

/// Draws the test picture. What does not move is drawn once.
pub struct TestPicture {
    background: VideoFrame,
    pool: FramePool,
    size: Size,
}

impl TestPicture {
    /// For pictures of `size` with `name` as text.
    pub fn new(size: Size, name: &str) -> Self {
        let mut background = VideoFrame::black(size, MediaTime::ZERO);
        draw_background(&mut background, size, name);
        TestPicture { background, pool: FramePool::new(size), size }
    }

    /// The picture that the source shows at `captured`, which is `wall` on the wall clock.
    pub fn draw(&self, captured: MediaTime, wall: SystemTime) -> Arc<VideoFrame> {
        let mut frame = self.pool.take(captured);
        frame.data_mut().copy_from_slice(self.background.data());
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let mut canvas = Canvas::new(&mut frame);
        let ball = ball_at(captured, width, height);
        canvas.disc(ball.0, ball.1, height / 12, BALL);
        let (left, top, dot) = clock_place(width);
        canvas.text(&clock_text(wall), left, top, dot, WHITE.0);
        let side = width / 8;
        let luma = FLASH[usize::from(!flashes(captured))];
        canvas.fill(0, height.saturating_sub(side), side, side, Colour(luma, 128, 128));
        timestamp::write(&mut frame, wall);
        Arc::new(frame)
    }
}

/// Whether a picture captured at `at` shows the flash: for as long as the beep sounds.
fn flashes(at: MediaTime) -> bool {
    at.as_nanos() % 1_000_000_000 < BEEP.as_nanos() as u64
}

/// The clock's upper left corner and the size of its dots.
fn clock_place(width: usize) -> (usize, usize, usize) {
    (width / 16, width / 16 + width / 8, (width / 160).max(1))
}

/// `12:34:56.789 UTC`.
fn clock_text(wall: SystemTime) -> String {
    let now = OffsetDateTime::from(wall);
    format!("{:02}:{:02}:{:02}.{:03} UTC", now.hour(), now.minute(), now.second(), now.millisecond())
}

/// The ball goes to and fro across the lower half in 4 s, up and down in 3 s.
fn ball_at(at: MediaTime, width: usize, height: usize) -> (usize, usize) {
    let radius = height / 12;
    let swing = |period_ms: u64, from: usize, to: usize| {
        let phase = at.as_nanos() / 1_000 % (period_ms * 1_000);
        let there = phase.min(period_ms * 1_000 - phase) as usize;
        from + to.saturating_sub(from) * there / (period_ms as usize * 500)
    };
    let x = swing(4_000, width / 8 + 2 * radius, width - 2 * radius);
    (x & !1, swing(3_000, height * 5 / 8, height - 2 * radius) & !1)
}

fn draw_background(frame: &mut VideoFrame, size: Size, name: &str) {
    let (width, height) = (size.width as usize, size.height as usize);
    let (y, u, v) = frame.planes_mut();
    for (row, line) in y.chunks_exact_mut(width).enumerate() {
        for (column, luma) in line.iter_mut().enumerate() {
            *luma = 60 + (row * 60 / height + column * 30 / width) as u8;
        }
    }
    u.fill(136);
    v.fill(120);
    let mut canvas = Canvas::new(frame);
    let plate = ((width / 32) & !1, (width * 3 / 32) & !1);
    canvas.fill(plate.0, plate.1, width - 2 * plate.0, (width / 6) & !1, PLATE);
    let dot = (width / 213).max(1);
    let longest = (width - width / 8) / (font::ADVANCE * dot);
    let name: String = name.chars().take(longest).collect();
    canvas.text(&name, width / 16, width / 16 + width / 20, dot, WHITE.0);
    let (bar, top) = (width / BARS.len(), (width * 9 / 32) & !1);
    for (n, colour) in BARS.into_iter().enumerate() {
        canvas.fill((n * bar) & !1, top, width, (height / 16) & !1, colour);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn every_picture_has_its_time_and_the_flash_stands_where_readers_look() {
        for size in [Size::new(1280, 720), Size::new(160, 90), Size::new(640, 480), Size::new(90 * 4, 640)] {
            let picture = TestPicture::new(size, "Küche 7 / lobby-with-a-very-long-name-that-does-not-fit");
            let (width, height) = (size.width as usize, size.height as usize);
            for ms in (0..4_000).step_by(33) {
                let wall = UNIX_EPOCH + Duration::from_millis(1_795_204_800_000 + ms);
                let frame = picture.draw(MediaTime::from_millis(ms), wall);
                let luma = frame.planes().0;
                assert_eq!(timestamp::read(luma, width, width, height), Some(timestamp::ticks(wall)));
                let side = width / 8;
                let flash = luma[(height - side / 2) * width + side / 2];
                assert_eq!(flash, if ms % 1_000 < 100 { 235 } else { 16 }, "{size} {ms} ms");
            }
        }
    }

    #[test]
    fn the_picture_moves_between_any_two_frames() {
        let picture = TestPicture::new(Size::new(640, 360), "box");
        let draw = |ms| picture.draw(MediaTime::from_millis(ms), UNIX_EPOCH);
        for ms in (0..9_000).step_by(33) {
            assert_ne!(draw(ms).data(), draw(ms + 33).data(), "at {ms} ms");
        }
    }
}
