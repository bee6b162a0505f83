//! Llama 1 to 3, and what shares its shape: Mistral, TinyLlama, SmolLM.
//!
//! A `sliding_window` key does not limit attention here: files of this architecture are trained and converted for
//! full attention, and llama.cpp reads them so.

use super::architecture::{Architecture, BASE};
use crate::kernels::rope::RopeStyle;

pub(super) const LLAMA: Architecture =
    Architecture { name: "llama", rope_style: RopeStyle::Pairs, has_rope_factors: true, ..BASE };
