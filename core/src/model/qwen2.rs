//! Qwen 2 and 2.5: biases on queries, keys and values.

use super::architecture::{Architecture, BASE};

pub(super) const QWEN2: Architecture = Architecture { name: "qwen2", ..BASE };
