"""The shapes of models that people run."""

from gguf import RopeScalingType

from random_model.shape import RopeScaling, Shape

KNOWN_SHAPES = {
    "tiny": Shape(
        "llama", 2, 256, 512, 4, 2, 64, 512, rope_freq_base=500000.0, rope_factors="freqs", is_tied=True
    ),
    "mini": Shape(
        "llama", 8, 512, 1536, 8, 4, 64, 4096, rope_freq_base=500000.0, rope_factors="freqs", is_tied=True
    ),
    "smollm2-135m": Shape(
        "llama", 30, 576, 1536, 9, 3, 64, 49152, 8192, 100000.0, special_count=17, pre_tokenizer="smollm", is_tied=True
    ),
    "smollm2-360m": Shape(
        "llama", 32, 960, 2560, 15, 5, 64, 49152, 8192, 100000.0, special_count=17, pre_tokenizer="smollm", is_tied=True
    ),
    "llama3.2-1b": Shape(
        "llama", 16, 2048, 8192, 32, 8, 64, 128256, 131072, 500000.0, rope_factors="freqs", special_count=256,
        is_tied=True,
    ),
    "llama3.2-3b": Shape(
        "llama", 28, 3072, 8192, 24, 8, 128, 128256, 131072, 500000.0, rope_factors="freqs", special_count=256,
        is_tied=True,
    ),
    "llama2-7b": Shape("llama", 32, 4096, 11008, 32, 32, 128, 32000, 4096, 10000.0, vocabulary="spm"),
    "llama3.1-8b": Shape(
        "llama", 32, 4096, 14336, 32, 8, 128, 128256, 131072, 500000.0, rope_factors="freqs", special_count=256
    ),
    "qwen2.5-0.5b": Shape(
        "qwen2", 24, 896, 4864, 14, 2, 64, 151936, 32768, 1000000.0, special_count=293, pre_tokenizer="qwen2",
        is_tied=True, has_qkv_biases=True,
    ),
    "qwen3-0.6b": Shape(
        "qwen3", 28, 1024, 3072, 16, 8, 128, 151936, 40960, 1000000.0, special_count=293, pre_tokenizer="qwen2",
        is_tied=True, has_qk_norms=True,
    ),
    "gemma2-2b": Shape(
        "gemma2", 26, 2304, 9216, 8, 4, 256, 256000, 8192, 10000.0, sliding_window=4096, attention_softcap=50.0,
        final_softcap=30.0, vocabulary="spm", is_tied=True, has_post_norms=True, embedding_deviation=0.02,
    ),
    "gemma3-1b": Shape(
        "gemma3", 26, 1152, 6912, 4, 1, 256, 262144, 32768, 1000000.0, sliding_window=512, vocabulary="spm",
        is_tied=True, has_qk_norms=True, has_post_norms=True, embedding_deviation=0.03,
    ),
    "phi3.5-mini": Shape(
        "phi3", 32, 3072, 8192, 32, 32, 96, 32064, 131072, 10000.0, vocabulary="spm", rope_factors="long_short",
        rope_scaling=RopeScaling(RopeScalingType.LONGROPE, original_context=4096, attention_factor=1.19),
        has_fused_projections=True,
    ),
}  # fmt: skip
