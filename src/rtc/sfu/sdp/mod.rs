//! SDP as text: what must be read before the library sees it, and rewritten after.

mod claims;
mod prefer;
mod rewrite;
mod sections;

#[cfg(test)]
mod tests;

pub use claims::{MAX_SECTIONS, OfferError, OfferRules};
pub use prefer::prefer;
pub use rewrite::{Binding, Msid, rewrite};
pub use sections::{Kind, Section, sections};
