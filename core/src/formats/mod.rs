//! Block formats of GGUF tensors, one file each; the dequantizers are the oracle for every kernel.
