"""Write the trained demo model as GGUF: f16 for the repository, Q8_0 for the package.

python models/demo/export.py
"""

import argparse
import json
from pathlib import Path

import gguf
import jax
import numpy as np
from corpus.documents import END_OF_TEXT, TURN_END, TURN_START
from model import ModelConfig
from tokenizer import PRE_TOKENIZER, SPECIAL_TOKENS
from tokenizers import Tokenizer
from train import WORK, load_checkpoint

HERE = Path(__file__).parent
F16_FILE = HERE / "demo-f16.gguf"
Q8_0_FILE = HERE.parents[1] / "python" / "edgewise" / "data" / "demo-q8_0.gguf"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    f"{{{{ '{TURN_START}' + message['role'] + '\\n' + message['content'] + '{TURN_END}' + '\\n' }}}}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{{{{ '{TURN_START}assistant\\n' }}}}{{% endif %}}"
)
FILE_TYPES = {
    gguf.GGMLQuantizationType.F16: gguf.LlamaFileType.MOSTLY_F16,
    gguf.GGMLQuantizationType.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
}


def write_metadata(writer: gguf.GGUFWriter, config: ModelConfig, file_type: gguf.LlamaFileType) -> None:
    """Who the model is and its shape."""
    writer.add_name("Edgewise Demo")
    writer.add_basename("edgewise-demo")
    writer.add_description("Very small model for trying out Edgewise: short stories, questions about running models")
    writer.add_organization("Edgewise")
    writer.add_license("MIT")
    writer.add_size_label("3.7M")
    writer.add_languages(["en"])
    writer.add_tags(["text-generation", "demo"])
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.embedding_length)
    writer.add_block_count(config.block_count)
    writer.add_feed_forward_length(config.feed_forward_length)
    writer.add_head_count(config.head_count)
    writer.add_head_count_kv(config.head_count_kv)
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)


def write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """Vocabulary, merges and special tokens. No text begins with a special token; every answer ends with TURN_END."""
    saved = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(saved["vocab"], key=saved["vocab"].__getitem__)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in SPECIAL_TOKENS else normal for token in tokens])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in saved["merges"]])
    writer.add_bos_token_id(tokens.index(END_OF_TEXT))
    writer.add_eos_token_id(tokens.index(TURN_END))
    writer.add_eot_token_id(tokens.index(TURN_END))
    writer.add_pad_token_id(tokens.index(END_OF_TEXT))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def export(
    path: Path, config: ModelConfig, params: dict[str, jax.Array], tokenizer: Tokenizer, kind: gguf.GGMLQuantizationType
) -> None:
    """Write path, matrices stored as kind and norms as F32; an old file stays until the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    writer = gguf.GGUFWriter(temporary, "llama")
    write_metadata(writer, config, FILE_TYPES[kind])
    write_tokenizer(writer, tokenizer)
    for name, array in params.items():
        values = np.asarray(array, np.float32)
        if values.ndim == 1:
            writer.add_tensor(f"{name}.weight", values)
        else:
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    temporary.replace(path)


def main() -> None:
    """Parse the command line and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=WORK / "checkpoint.npz", help="what train.py wrote")
    parser.add_argument("--f16", type=Path, default=F16_FILE)
    parser.add_argument("--q8-0", type=Path, default=Q8_0_FILE)
    arguments = parser.parse_args()
    (params, _, _), step = load_checkpoint(arguments.checkpoint)
    tokenizer = Tokenizer.from_file(str(arguments.checkpoint.parent / "tokenizer.json"))
    for path, kind in (
        (arguments.f16, gguf.GGMLQuantizationType.F16),
        (arguments.q8_0, gguf.GGMLQuantizationType.Q8_0),
    ):
        export(path, ModelConfig(), params, tokenizer, kind)
        print(f"{path.name}: {path.stat().st_size} bytes, step {step}")


if __name__ == "__main__":
    main()
