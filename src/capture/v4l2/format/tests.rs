use super::*;
use crate::sys::v4l2::Rates;

const HD: Size = Size::new(1280, 720);

/// `YUYV 1280x720 10 7.5`: a line of what a camera offers; `5-30` is a range, no rate at all what is not told.
fn offers(lines: &[&str]) -> Vec<Offer> {
    let interval = |text: &str| {
        let thousandths = (text.parse::<f64>().unwrap() * 1000.0) as u32;
        Interval::new(1000, thousandths).unwrap()
    };
    let rates = |text: &str| match text.split_once('-') {
        Some((slowest, fastest)) => Rates { fastest: interval(fastest), slowest: interval(slowest) },
        None => Rates { fastest: interval(text), slowest: interval(text) },
    };
    let offer = |line: &&str| {
        let mut words = line.split_whitespace();
        let fourcc = FourCc(words.next().unwrap().as_bytes().try_into().unwrap());
        let (width, height) = words.next().unwrap().split_once('x').unwrap();
        let size = Size::new(width.parse().unwrap(), height.parse().unwrap());
        Offer { fourcc, size, rates: words.map(rates).collect() }
    };
    lines.iter().map(offer).collect()
}

fn chosen(lines: &[&str], size: Size, fps: u32) -> String {
    chosen_with(lines, Wish { size, fps, h264: false })
}

fn chosen_with(lines: &[&str], wish: Wish) -> String {
    match choose(&offers(lines), wish) {
        Some(choice) => format!("{} {} {}", choice.fourcc, choice.size, choice.interval.fps()),
        None => "none".to_owned(),
    }
}

/// A Logitech C920 on USB 2: raw only where the bus has room.
const C920: [&str; 14] = [
    "YUYV 640x480 30 24 20 15 10 7.5 5",
    "YUYV 640x360 30 24 20 15 10 7.5 5",
    "YUYV 864x480 24 20 15 10 7.5 5",
    "YUYV 1280x720 10 7.5 5",
    "YUYV 1920x1080 5",
    "YUYV 2304x1536 2",
    "H264 1280x720 30 24 20 15 10 7.5 5",
    "H264 1920x1080 30 24 20 15 10 7.5 5",
    "MJPG 640x480 30 24 20 15 10 7.5 5",
    "MJPG 640x360 30 24 20 15 10 7.5 5",
    "MJPG 960x720 30 24 20 15 10 7.5 5",
    "MJPG 1024x576 30 24 20 15 10 7.5 5",
    "MJPG 1280x720 30 24 20 15 10 7.5 5",
    "MJPG 1920x1080 30 24 20 15 10 7.5 5",
];

#[test]
fn a_usb_2_webcam_gives_jpeg_where_raw_is_too_slow_and_raw_where_it_is_not() {
    assert_eq!(chosen(&C920, HD, 30), "MJPG 1280x720 30");
    assert_eq!(chosen(&C920, HD, 10), "YUYV 1280x720 10");
    assert_eq!(chosen(&C920, Size::new(640, 360), 30), "YUYV 640x360 30");
    assert_eq!(chosen(&C920, Size::new(1920, 1080), 30), "MJPG 1920x1080 30");
    // The next larger one is scaled down.
    assert_eq!(chosen(&C920, Size::new(800, 450), 30), "MJPG 1024x576 30");
    assert_eq!(chosen(&C920, Size::new(800, 450), 24), "YUYV 864x480 24");
}

#[test]
fn a_usb_3_webcam_and_a_capture_dongle_give_raw_pictures() {
    let brio = [
        "YUYV 1280x720 30",
        "NV12 1280x720 30",
        "MJPG 1280x720 60 30",
        "YUYV 640x480 30",
        "MJPG 3840x2160 30",
    ];
    assert_eq!(chosen(&brio, HD, 30), "NV12 1280x720 30");
    assert_eq!(chosen(&brio, HD, 60), "MJPG 1280x720 60");
    let dongle = ["YUYV 1920x1080 60 50 30", "MJPG 1280x720 60 50 30", "YUYV 720x480 60"];
    assert_eq!(chosen(&dongle, HD, 30), "YUYV 1920x1080 30");
    let cheap = ["MJPG 1920x1080 30", "MJPG 1280x720 60 50", "YUYV 1280x720 10", "YUYV 1920x1080 5"];
    assert_eq!(chosen(&cheap, HD, 30), "MJPG 1280x720 50");
}

#[test]
fn a_csi_camera_of_any_size_and_rate_gives_just_what_is_wanted() {
    let csi = [
        "RGB3 1280x720 1-90",
        "YU12 1280x720 1-90",
        "NV12 1280x720 1-90",
        "NV12 2592x1944 1-90",
        "H264 1280x720 1-90",
    ];
    assert_eq!(chosen(&csi, HD, 30), "NV12 1280x720 30");
    assert_eq!(chosen(&csi, HD, 25), "NV12 1280x720 25");
    let silent = ["UYVY 1920x1080", "UYVY 1280x720"];
    assert_eq!(chosen(&silent, HD, 30), "UYVY 1280x720 30");
    // A film rate is the rate that people mean by it.
    assert_eq!(chosen(&["YUYV 1280x720 29.97", "MJPG 1280x720 30"], HD, 30), "YUYV 1280x720 29.97");
}

#[test]
fn where_size_and_rate_cannot_both_be_had_the_least_is_lost() {
    let old = ["YUYV 1280x720 10", "YUYV 640x480 30", "YUYV 320x240 30"];
    assert_eq!(chosen(&old, HD, 30), "YUYV 640x480 30");
    assert_eq!(chosen(&["YUYV 1280x720 25", "YUYV 640x480 30"], HD, 30), "YUYV 1280x720 25");
    assert_eq!(chosen(&["YUYV 640x480 15"], HD, 30), "YUYV 640x480 15");
}

#[test]
fn what_cannot_be_used_is_none_and_what_was_offered_can_be_told() {
    assert_eq!(chosen(&[], HD, 30), "none");
    let odd = [
        "H264 1920x1080 30",
        "GREY 640x480 30",
        "GREY 320x240 30",
        "YUYV 641x480 30",
        "YUYV 0x0",
        "YUYV 2x2 9",
    ];
    assert_eq!(chosen(&odd, HD, 30), "none");
    let text = describe(&offers(&odd));
    assert_eq!(text, "H264 1920x1080, GREY 640x480 320x240, YUYV 641x480 0x0 2x2");
    assert_eq!(describe(&[]), "nothing");
}

#[test]
fn h264_is_passed_on_only_where_it_may_be_and_no_raw_format_has_the_rate() {
    let camera = ["YUYV 1280x720 10", "MJPG 1280x720 30", "H264 1280x720 30", "H264 1920x1080 30"];
    let wish = |size, h264| Wish { size, fps: 30, h264 };
    let (hd, small) = (Size::new(1280, 720), Size::new(640, 360));
    assert_eq!(chosen_with(&camera, wish(hd, true)), "H264 1280x720 30");
    assert_eq!(chosen_with(&camera, wish(hd, false)), "MJPG 1280x720 30");
    assert_eq!(chosen_with(&camera, wish(small, true)), "MJPG 1280x720 30", "it cannot be scaled");
    let raw = ["H264 1280x720 30", "NV12 1280x720 30"];
    assert_eq!(chosen_with(&raw, wish(hd, true)), "NV12 1280x720 30");
}
