//! One conversation with a model: its KV cache, its tokens, its logits.
