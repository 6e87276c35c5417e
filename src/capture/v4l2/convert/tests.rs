use std::sync::OnceLock;

use proptest::prelude::*;
use turbojpeg::{Compressor, Subsamp, YuvImage};

use super::*;
use crate::sys::v4l2::PlaneFormat;

const SIZE: Size = Size::new(160, 90);

fn format(fourcc: FourCc, size: Size, strides: &[u32]) -> Format {
    let planes = strides.iter().map(|stride| PlaneFormat { stride: *stride, bytes: 0 }).collect();
    Format { fourcc, size, planes }
}

fn convert(to: Size, format: &Format, planes: &[&[u8]]) -> Result<VideoFrame, Damage> {
    Converter::new(to).picture(format, planes, MediaTime::ZERO)
}

/// Mean of the samples of each plane.
fn means(frame: &VideoFrame) -> (u8, u8, u8) {
    let mean = |plane: &[u8]| {
        let sum: usize = plane.iter().map(|sample| usize::from(*sample)).sum();
        (sum / plane.len()) as u8
    };
    let (y, u, v) = frame.planes();
    (mean(y), mean(u), mean(v))
}

/// A JPEG with luma that falls from left to right, and noise.
fn jpeg(size: Size, subsamp: Subsamp) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let bytes = turbojpeg::yuv_pixels_len(width, 1, height, subsamp).unwrap();
    let mut seed = 1u32;
    let mut pixels: Vec<u8> = (0..bytes)
        .map(|n| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (250 - n % width * 180 / width) as u8 - (seed >> 29) as u8
        })
        .collect();
    pixels[width * height..].fill(90);
    let image = YuvImage { pixels: &pixels[..], width, align: 1, height, subsamp };
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(85).unwrap();
    compressor.compress_yuv_to_vec(image).unwrap()
}

fn small_jpeg() -> &'static [u8] {
    static JPEG: OnceLock<Vec<u8>> = OnceLock::new();
    JPEG.get_or_init(|| jpeg(SIZE, Subsamp::Sub2x1))
}

#[test]
fn raw_formats_become_the_same_picture_with_and_without_padding() {
    let (width, height) = (160usize, 90usize);
    let rows = |row: &[u8], count: usize, padding: usize| [row, &vec![255; padding]].concat().repeat(count);
    for padding in [0, 32] {
        let stride = |bytes: usize| (bytes + padding) as u32;
        let yuyv = rows(&[100, 50, 100, 200].repeat(width / 2), height, padding);
        let uyvy = rows(&[50, 100, 200, 100].repeat(width / 2), height, padding);
        let luma = rows(&vec![100; width], height, padding);
        let uv = rows(&[50, 200].repeat(width / 2), height / 2, padding);
        let (u, v) = (
            rows(&vec![50; width / 2], height / 2, padding / 2),
            rows(&vec![200; width / 2], height / 2, padding / 2),
        );
        let (nv12, yu12) = ([&luma[..], &uv].concat(), [&luma[..], &u, &v].concat());
        let one = stride(width);
        for (fourcc, strides, planes) in [
            (FourCc::YUYV, vec![stride(2 * width)], vec![&yuyv[..]]),
            (FourCc::UYVY, vec![stride(2 * width)], vec![&uyvy[..]]),
            (FourCc::NV12, vec![one], vec![&nv12[..]]),
            (FourCc::NM12, vec![one, one], vec![&luma[..], &uv[..]]),
            (FourCc::YU12, vec![one], vec![&yu12[..]]),
            (FourCc::YM12, vec![one, one / 2, one / 2], vec![&luma[..], &u[..], &v[..]]),
        ] {
            let format = format(fourcc, SIZE, &strides);
            for target in [SIZE, Size::new(320, 180), Size::new(64, 36), Size::new(64, 64)] {
                let frame = convert(target, &format, &planes).unwrap();
                let (y, u, v) = means(&frame);
                // Scaling may round.
                let near = y.abs_diff(100) <= 1 && u.abs_diff(50) <= 1 && v.abs_diff(200) <= 1;
                assert!(frame.size() == target && near, "{fourcc} {padding} {target}: {y} {u} {v}");
            }
            // One row short.
            let last = planes.len() - 1;
            let mut short = planes.clone();
            short[last] = &short[last][..short[last].len() - strides[last] as usize - 1];
            let damage = convert(SIZE, &format, &short).unwrap_err();
            assert!(matches!(damage, Damage::Short { .. }), "{fourcc}: {damage}");
            assert!(convert(SIZE, &format, &[]).is_err());
        }
    }
}

#[test]
fn another_shape_is_filled_from_the_middle() {
    // A white picture of 4:3 with a black quarter above and below what 16:9 keeps.
    let (width, height) = (160usize, 120usize);
    let kept = 14..104;
    let mut data: Vec<u8> =
        (0..height).flat_map(|row| vec![if kept.contains(&row) { 235 } else { 16 }; width]).collect();
    data.extend(vec![128; width * height / 2]);
    let format = format(FourCc::YU12, Size::new(160, 120), &[160]);
    let frame = convert(SIZE, &format, &[&data]).unwrap();
    assert!(means(&frame).0 >= 233, "{:?}", means(&frame));
    assert_eq!(cut(Size::new(1366, 768), Size::new(1280, 720)), (0, 0, Size::new(1366, 768)));
    assert_eq!(cut(Size::new(1280, 720), Size::new(480, 480)), (280, 0, Size::new(720, 720)));
}

#[test]
fn jpeg_of_every_chroma_becomes_limited_range() {
    for subsamp in [Subsamp::Sub2x2, Subsamp::Sub2x1, Subsamp::None, Subsamp::Sub1x2, Subsamp::Sub4x1] {
        let data = jpeg(SIZE, subsamp);
        let frame = convert(SIZE, &format(FourCc::MJPG, SIZE, &[0]), &[&data]).unwrap();
        let (y, u, v) = means(&frame);
        // 157 on average becomes 16 + 157 * 220 / 256; 90 becomes 95.
        assert!(
            y.abs_diff(150) <= 3 && u.abs_diff(95) <= 2 && v.abs_diff(95) <= 2,
            "{subsamp:?} {y} {u} {v}"
        );
        assert!(frame.planes().0[0] > frame.planes().0[159] + 100);
        let larger = convert(Size::new(320, 180), &format(FourCc::MJPG, SIZE, &[0]), &[&data]).unwrap();
        assert!(means(&larger).0.abs_diff(y) <= 1);
    }
    let grey = jpeg(SIZE, Subsamp::Gray);
    let frame = convert(SIZE, &format(FourCc::JPEG, SIZE, &[0]), &[&grey]).unwrap();
    assert_eq!((means(&frame).1, means(&frame).2), (128, 128));
}

#[test]
fn jpeg_as_cameras_make_it_is_taken() {
    let whole = small_jpeg();
    let format = format(FourCc::MJPG, SIZE, &[0]);
    let right = convert(SIZE, &format, &[whole]).unwrap();
    // Padded with zeros after its end.
    let padded = [whole, &[0; 500]].concat();
    assert_eq!(convert(SIZE, &format, &[&padded]).unwrap().data(), right.data());
    // A few stray bytes before its end.
    let (before, end) = whole.split_at(whole.len() - 2);
    let stray = [before, &[0, 0], end].concat();
    assert_eq!(convert(SIZE, &format, &[&stray]).unwrap().data(), right.data());
    // Without Huffman tables, as UVC allows.
    let mut bare = whole.to_vec();
    while let Some(at) = bare.windows(2).position(|marker| marker == [0xff, 0xc4]) {
        let length = usize::from(bare[at + 2]) << 8 | usize::from(bare[at + 3]);
        bare.drain(at..at + 2 + length);
    }
    assert!(bare.len() < whole.len() - 400);
    assert_eq!(convert(SIZE, &format, &[&bare]).unwrap().data(), right.data());
    // Of another size than was agreed.
    let other = jpeg(Size::new(320, 180), Subsamp::Sub2x1);
    assert_eq!(convert(SIZE, &format, &[&other]).unwrap().size(), SIZE);
}

#[test]
fn jpeg_cut_off_anywhere_is_damaged_and_the_next_is_good() {
    let (whole, format) = (small_jpeg(), format(FourCc::MJPG, SIZE, &[0]));
    let mut converter = Converter::new(SIZE);
    for length in 0..whole.len() - 2 {
        let cut = converter.picture(&format, &[&whole[..length]], MediaTime::ZERO);
        assert!(cut.is_err(), "{length} of {} bytes", whole.len());
    }
    converter.picture(&format, &[whole], MediaTime::ZERO).unwrap();
}

#[test]
fn a_jpeg_whose_header_lies_about_its_size_is_damaged() {
    let (whole, format) = (small_jpeg(), format(FourCc::MJPG, SIZE, &[0]));
    let frame = whole.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    for (height, width) in
        [(65_535u16, 65_535u16), (0, 160), (90, 0), (8, 160), (45, 160), (180, 160), (90, 320), (90, 80)]
    {
        let mut lying = whole.to_vec();
        lying[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        lying[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
        let damage = convert(SIZE, &format, &[&lying]);
        assert!(matches!(damage, Err(Damage::Jpeg(_))), "{width}x{height}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_jpeg_however_damaged_does_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut data = small_jpeg().to_vec();
        for (at, value) in changes {
            let at = at.index(data.len());
            data[at] = value;
        }
        if cut {
            data.truncate(length.index(data.len()));
        }
        if let Ok(frame) = convert(SIZE, &format(FourCc::MJPG, SIZE, &[0]), &[&data]) {
            prop_assert_eq!(frame.size(), SIZE);
        }
    }

    #[test]
    fn no_layout_however_wrong_does_harm(
        fourcc in prop::sample::select(vec![FourCc::NV12, FourCc::NM12, FourCc::YU12, FourCc::YM12, FourCc::YUYV, FourCc::UYVY]),
        strides in proptest::collection::vec(0u32..500, 1..4),
        lengths in proptest::collection::vec(0usize..40_000, 0..4),
        width in 1u32..200,
        height in 1u32..200,
    ) {
        let planes: Vec<Vec<u8>> = lengths.iter().map(|length| vec![7; *length]).collect();
        let planes: Vec<&[u8]> = planes.iter().map(Vec::as_slice).collect();
        if let Ok(frame) = convert(SIZE, &format(fourcc, Size::new(width, height), &strides), &planes) {
            prop_assert_eq!(frame.size(), SIZE);
        }
    }
}
