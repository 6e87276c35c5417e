//! Drawing into a frame: rectangles, discs and text, clipped to the picture.

use super::font;
use crate::media::VideoFrame;

/// Luma and the two chroma values (BT.601, limited range).
#[derive(Clone, Copy, Debug)]
pub struct Colour(pub u8, pub u8, pub u8);

/// White.
pub const WHITE: Colour = Colour(235, 128, 128);

/// A frame to draw into.
pub struct Canvas<'a> {
    y: &'a mut [u8],
    u: &'a mut [u8],
    v: &'a mut [u8],
    width: usize,
    height: usize,
}

impl<'a> Canvas<'a> {
    /// Draws into `frame`.
    pub fn new(frame: &'a mut VideoFrame) -> Self {
        let (width, height) = (frame.size().width as usize, frame.size().height as usize);
        let (y, u, v) = frame.planes_mut();
        Canvas { y, u, v, width, height }
    }

    /// Fills a rectangle; its chroma is aligned to pairs of pixels.
    pub fn fill(&mut self, left: usize, top: usize, width: usize, height: usize, colour: Colour) {
        let (right, bottom) = ((left + width).min(self.width), (top + height).min(self.height));
        self.fill_luma(left, top, width, height, colour.0);
        let half = self.width / 2;
        for row in top / 2..bottom / 2 {
            let from = row * half + (left / 2).min(half);
            let to = (row * half + right / 2).max(from);
            self.u[from..to].fill(colour.1);
            self.v[from..to].fill(colour.2);
        }
    }

    /// Fills a rectangle without touching its colour.
    pub fn fill_luma(&mut self, left: usize, top: usize, width: usize, height: usize, luma: u8) {
        let (left, right) = (left.min(self.width), (left + width).min(self.width));
        for row in top.min(self.height)..(top + height).min(self.height) {
            self.y[row * self.width + left..row * self.width + right].fill(luma);
        }
    }

    /// Fills a disc.
    pub fn disc(&mut self, x: usize, y: usize, radius: usize, colour: Colour) {
        // Rows in pairs, so that chroma is filled with them.
        for down in (0..2 * radius).step_by(2) {
            let off = (down + 1).abs_diff(radius);
            let half = (radius * radius).saturating_sub(off * off).isqrt() & !1;
            let (left, top) = (x.saturating_sub(half) & !1, (y + down).saturating_sub(radius) & !1);
            self.fill(left, top, 2 * half, 2, colour);
        }
    }

    /// Writes `text` with dots of `dot` pixels, its upper left corner at `left`, `top`.
    pub fn text(&mut self, text: &str, left: usize, top: usize, dot: usize, luma: u8) {
        for (n, letter) in text.chars().enumerate() {
            let left = left + n * font::ADVANCE * dot;
            if left >= self.width {
                return;
            }
            for (row, bits) in font::rows(letter).into_iter().enumerate() {
                for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                    self.fill_luma(left + column * dot, top + row * dot, dot, dot, luma);
                }
            }
        }
    }
}
