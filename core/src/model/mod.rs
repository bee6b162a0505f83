//! Models: configuration, shape-checked weights, one file per architecture, and the KV cache.
