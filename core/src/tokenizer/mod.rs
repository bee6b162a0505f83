//! Tokenizers as GGUF files carry them.
