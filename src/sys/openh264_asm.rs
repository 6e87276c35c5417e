//! Proof that the H.264 encoder was built with its x86-64 assembly.
//!
//! openh264's build leaves the assembly out without a word when nasm is missing, and is then 2.0 to 2.6 times
//! slower. This refers to a symbol that only the assembly defines, so that a build without it does not link.

#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    /// Sum of absolute differences of a 16x16 block; defined in openh264's `satd_sad.asm` only.
    fn WelsSampleSad16x16_sse2();
}

/// Kept by the linker even when nobody reads it.
#[cfg(target_arch = "x86_64")]
#[used]
static PROOF: unsafe extern "C" fn() = WelsSampleSad16x16_sse2;

/// Whether the assembly of this architecture is proved to be linked: true on x86-64, where this would not link
/// otherwise; false elsewhere (ARM's NEON code is built by the C compiler and cannot be forgotten).
pub fn proved() -> bool {
    #[cfg(target_arch = "x86_64")]
    return PROOF as usize != 0;
    #[cfg(not(target_arch = "x86_64"))]
    false
}
