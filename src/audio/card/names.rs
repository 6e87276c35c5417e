//! Which cards there are, and what they are called.

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{Device, DeviceId, Host, HostId};

use super::CardError;
use super::open::Side;

/// The kernel's list of cards; missing where there is no sound at all.
const CARDS: &str = "/proc/asound/cards";
/// What alsa-lib lists beside cards, and is none.
const NO_CARDS: [&str; 9] =
    ["null", "lavrate", "samplerate", "speexrate", "speex", "jack", "oss", "upmix", "vdownmix"];

/// A sound card, or another PCM of ALSA's configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Card {
    /// What `microphone.source` and `speaker.sink` take after `alsa:`: `plughw:CARD=PCH,DEV=0`, `default`.
    pub name: String,
    /// For people.
    pub description: String,
    /// It can hear; for names of the configuration: perhaps.
    pub microphone: bool,
    /// It can play; for names of the configuration: perhaps.
    pub speaker: bool,
}

/// The cards that there are now, each once, by the name that takes every format (`plughw:…`), and the PCMs of ALSA's
/// configuration. Opens none of them. Blocks for as long as the system takes, some milliseconds.
///
/// # Errors
/// When ALSA's own configuration cannot be read.
pub fn list() -> Result<Vec<Card>, CardError> {
    // What alsa-lib has to say is not for the terminal.
    let _quiet = alsa::Output::local_error_handler();
    let mut cards: Vec<Card> = devices()?.iter().map(card_of).filter(worth_telling).collect();
    cards.dedup_by(|one, other| one.name == other.name);
    Ok(cards)
}

fn card_of(device: &Device) -> Card {
    let name = device.id().map(|id| id.id().to_owned()).unwrap_or_default();
    let description = device.description().map(|told| told.name().to_owned()).unwrap_or_default();
    Card { name, description, microphone: device.supports_input(), speaker: device.supports_output() }
}

fn worth_telling(card: &Card) -> bool {
    match card.name.split_once(":CARD=") {
        Some((plugin, rest)) => plugin == "plughw" && !rest.starts_with(|c: char| c.is_ascii_digit()),
        None => !NO_CARDS.contains(&card.name.as_str()),
    }
}

fn host() -> Result<Host, CardError> {
    cpal::host_from_id(HostId::Alsa).map_err(|error| CardError::Refused {
        name: "ALSA".to_owned(),
        side: "sound",
        message: error.to_string(),
    })
}

fn devices() -> Result<Vec<Device>, CardError> {
    let found = host()?.devices();
    Ok(found.map(Iterator::collect).unwrap_or_default())
}

/// The devices to be tried for `name`, in this order: it alone, or (None) the default and then every card.
pub(super) fn candidates(name: Option<&str>, side: Side) -> Result<Vec<Device>, CardError> {
    if let Some(name) = name {
        return find(name, side).map(|device| vec![device]);
    }
    if kernel_cards().is_empty() && !configured_default() {
        return Err(CardError::None { side: side.name() });
    }
    let host = host()?;
    let default = match side {
        Side::Microphone => host.default_input_device(),
        Side::Speaker => host.default_output_device(),
    };
    // The numbers of a card are always there; names depend on ALSA's configuration.
    let cards = devices()?.into_iter().filter(|device| {
        let card = card_of(device);
        let fits = if side == Side::Microphone { card.microphone } else { card.speaker };
        let number =
            card.name.strip_prefix("plughw:CARD=").is_some_and(|rest| rest.starts_with(char::is_numeric));
        fits && number
    });
    Ok(default.into_iter().chain(cards).collect())
}

/// ALSA's configuration has a default that needs no card: a sound server, a file.
fn configured_default() -> bool {
    let asked = DeviceId::new(HostId::Alsa, "default");
    host().is_ok_and(|host| host.device_by_id(&asked).is_some())
}

fn find(name: &str, side: Side) -> Result<Device, CardError> {
    let host = host()?;
    let named = |name: &str| host.device_by_id(&DeviceId::new(HostId::Alsa, name));
    let device = named(name).or_else(|| named(&numbered(name, &kernel_cards())?));
    device.ok_or_else(|| {
        let known: Vec<String> = list().unwrap_or_default().into_iter().map(|card| card.name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        CardError::Unknown { name: name.to_owned(), side: side.name(), known }
    })
}

/// The kernel's list of cards as it is now; empty without any.
pub(super) fn kernel_cards() -> String {
    let text = std::fs::read_to_string(CARDS).unwrap_or_default();
    // "--- no soundcards ---"
    if text.contains('[') { text } else { String::new() }
}

/// `hw:Loopback,0` as `hw:CARD=1,DEV=0` by the kernel's list, where ALSA's configuration does not list the card.
fn numbered(name: &str, cards: &str) -> Option<String> {
    let (plugin, rest) = name.split_once(':')?;
    let (card, device) = rest.split_once(',').unwrap_or((rest, "0"));
    let (card, device) = (card.trim_start_matches("CARD="), device.trim_start_matches("DEV="));
    // " 1 [Loopback       ]: Loopback - Loopback"
    let number = cards.lines().find_map(|line| {
        let (number, rest) = line.split_once('[')?;
        (rest.split_once(']')?.0.trim() == card).then(|| number.trim().to_owned())
    })?;
    Some(format!("{plugin}:CARD={number},DEV={device}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = " 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n                      HDA at 0xf7d10000\n \
                       1 [Loopback       ]: Loopback - Loopback\n                      Loopback 1\n";

    #[test]
    fn a_card_is_found_by_its_name_in_the_kernels_list() {
        assert_eq!(numbered("hw:Loopback,1", TWO).as_deref(), Some("hw:CARD=1,DEV=1"));
        assert_eq!(numbered("plughw:CARD=PCH", TWO).as_deref(), Some("plughw:CARD=0,DEV=0"));
        assert_eq!(numbered("hw:Loop", TWO), None);
        assert_eq!(numbered("default", TWO), None);
        assert_eq!(numbered("hw:PCH,0", "--- no soundcards ---"), None);
    }

    #[test]
    fn of_a_cards_many_names_one_is_told() {
        let told = |name: &str| {
            let (name, description) = (name.to_owned(), String::new());
            worth_telling(&Card { name, description, microphone: true, speaker: true })
        };
        assert!(told("plughw:CARD=PCH,DEV=0") && told("default") && told("kitchen"));
        for other in ["hw:CARD=PCH,DEV=0", "plughw:CARD=0,DEV=0", "dmix:CARD=PCH,DEV=0", "speexrate", "null"]
        {
            assert!(!told(other), "{other}");
        }
    }
}
