//! BERT and what shares its shape: the sentence transformers, BGE, E5, GTE, Arctic Embed.
//!
//! Source: Devlin et al. 2019, arXiv 1810.04805. GELU is bent by the tanh form, as llama.cpp does.

use super::{EncoderArchitecture, Positions};
use crate::kernels::float::Gate;

pub(super) const BERT: EncoderArchitecture = EncoderArchitecture {
    name: "bert",
    positions: Positions::Learned,
    gate: Gate::Gelu,
    is_gated: false,
    check: |_| Ok(()),
};
