//! What the machine offers: instruction sets, and threads that share a buffer. The only place with `unsafe`.
//!
//! A kernel is written once over [`Simd`] and started by [`Isa::run`], which compiles it once per instruction set. To add
//! an instruction set: one file with a token type that implements [`Simd`], and one line in the table below.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_memory;
#[cfg(target_arch = "x86_64")]
mod avx2_whole;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_whole;
mod fork;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
mod neon_groups;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;
#[cfg(target_arch = "aarch64")]
mod neon_memory;
#[cfg(target_arch = "aarch64")]
mod neon_widening;
mod scalar;
mod scalar_whole;
mod share;
mod simd;

pub use fork::Pool;
pub use scalar::Scalar;
pub use share::{Chunks, Panel, Panels};
pub use simd::{Kernel, LANES, Simd};

use crate::error::{Error, Result};

/// Makes [`Isa`] from the list of token types, slowest first.
macro_rules! instruction_sets {
    ($($(#[$only:meta])* $variant:ident = $token:ty;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Set {
            $($(#[$only])* $variant($token),)+
        }

        impl Isa {
            /// Every instruction set that this build has kernels for and this CPU can run, slowest first.
            pub fn available() -> Vec<Self> {
                let mut available = Vec::new();
                $($(#[$only])* available.extend(<$token>::detect().map(|token| Self(Set::$variant(token))));)+
                available
            }

            /// What users write and read: `scalar`, `avx2`, ...
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($(#[$only])* Set::$variant(_) => <$token>::NAME,)+
                }
            }

            /// Runs the kernel's code for this instruction set.
            pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
                match self.0 {
                    $($(#[$only])* Set::$variant(token) => token.run(kernel),)+
                }
            }
        }
    };
}

instruction_sets! {
    Scalar = Scalar;
    #[cfg(target_arch = "x86_64")] Avx2 = avx2::Avx2<false>;
    #[cfg(target_arch = "x86_64")] AvxVnni = avx2::Avx2<true>;
    #[cfg(target_arch = "x86_64")] Avx512Vnni = avx512::Avx512Vnni;
    #[cfg(target_arch = "aarch64")] Neon = neon::Neon<neon_widening::Widening>;
    #[cfg(target_arch = "aarch64")] NeonDotprod = neon::Neon<neon_dotprod::Dotprod>;
    #[cfg(target_arch = "aarch64")] NeonI8mm = neon::Neon<neon_i8mm::I8mm>;
}

/// An instruction set that this CPU was found to have: only the functions here make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Set);

impl Isa {
    /// The one that every machine has.
    pub const SCALAR: Self = Self(Set::Scalar(Scalar::NEW));

    /// The fastest that this CPU can run.
    pub fn detect() -> Self {
        Self::available().last().copied().unwrap_or(Self::SCALAR)
    }

    /// The one with this name, if this CPU can run it.
    pub fn named(name: &str) -> Result<Self> {
        let available = Self::available();
        available.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| {
            let names: Vec<&str> = available.iter().map(|isa| isa.name()).collect();
            Error::invalid_argument(format!("instruction set \"{name}\" is not one that this machine can run"))
                .with_hint(format!("choose one of: {}", names.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests;
