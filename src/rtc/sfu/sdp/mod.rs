//! SDP as text: what must be read before the library sees it, and rewritten after.

mod claims;
mod rewrite;
mod sections;

#[cfg(test)]
mod tests;

pub use claims::{OfferError, OfferRules};
pub use rewrite::{Msid, rewrite_msid};
pub use sections::{Kind, Section, sections};
