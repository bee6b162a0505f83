//! Qwen 3, dense: queries and keys are normalized per head, whose size the file states.

use super::architecture::{Architecture, BASE};

pub(super) const QWEN3: Architecture = Architecture { name: "qwen3", has_head_norms: true, ..BASE };
