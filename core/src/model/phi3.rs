//! Phi 3, 3.5 and 4: fused query-key-value and gate-up matrices, long-context factors for the rotary frequencies.
//!
//! A `sliding_window` key does not limit attention: the files state it inconsistently, and llama.cpp ignores it too.

use super::architecture::{Architecture, BASE};

pub(super) const PHI3: Architecture =
    Architecture { name: "phi3", has_fused_gate: true, has_rope_factors: true, ..BASE };
