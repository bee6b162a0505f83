"""Measure a GGUF of the demo model: held-out loss, tokens against the training tokenizer, answers through an engine.

python models/demo/evaluate.py loss models/demo/demo-f16.gguf
python models/demo/evaluate.py answers models/demo/demo-f16.gguf --module llama_cpp
"""

import argparse
import importlib
import random
from pathlib import Path
from typing import Any

from corpus import chats
from corpus.documents import END_OF_TEXT, TURN_END, TURN_START, text, training_document
from corpus.questions import ask, can_hold_out
from corpus.topic import Topic
from corpus.unknown import ANSWERS, unknown

PROMPTS = (
    "What is AI?",
    "What is machine learning?",
    "What is quantization?",
    "What is Python?",
    "Can a Raspberry Pi run a language model?",
    "Tell me a story about a fox.",
)
OTHER_PROMPTS = (
    "Hello!",
    "Who are you?",
    "What is GGUF?",
    "Why is the KV cache needed?",
    "Would a small LLM work on my Raspberry Pi 4?",
    "Could you tell me in simple words what quantization is?",
    "Is it possible to run AI on a phone?",
    "What does machine learning mean?",
    "How much RAM does a 7B model need?",
    "What is 3 plus 4?",
    "Tell me a nice story about a fox and an owl.",
    "Tell me a story about a whale.",
    "What is the capital of France?",
    "Who won the football match?",
    "The quick brown fox",
)
RAW_PROMPTS = ("Once upon a time", "Tom had a red ball", "What is machine learning?", "The quick", "Lily was")


def read_model(path: Path) -> tuple[Any, Any, Any]:
    """Shape, dequantized weights and tokenizer of a GGUF, all from the file itself."""
    import gguf
    import jax.numpy as jnp
    from model import ModelConfig

    reader = gguf.GGUFReader(path)
    arrays = {t.name.removesuffix(".weight"): gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    config = ModelConfig(block_count=reader.fields["llama.block_count"].contents())
    params = {name: jnp.asarray(array) for name, array in arrays.items()}
    return config, params, read_tokenizer(reader)


def read_tokenizer(reader: Any) -> Any:
    """The Hugging Face tokenizer that a GGUF describes."""
    from tokenizer import WORD_PATTERN
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT, TURN_START, TURN_END])
    return tokenizer


def measure_loss(path: Path, document_count: int) -> None:
    """Print the mean held-out loss of the answers, in nats per token."""
    from train import TrainConfig, held_out_batches, mean_loss

    config, params, tokenizer = read_model(path)
    batches = held_out_batches(tokenizer, TrainConfig(), document_count)
    print(f"{path.name}: held-out loss {mean_loss(config, params, batches):.4f} nats per token")


def compare_tokens(path: Path, module: str, document_count: int) -> None:
    """Compare the engine's tokens of corpus documents and odd texts with those of the training tokenizer."""
    import gguf

    tokenizer = read_tokenizer(gguf.GGUFReader(path))
    llama = importlib.import_module(module).Llama(model_path=str(path), vocab_only=True, verbose=False)
    rng = random.Random(0)
    samples = [text(training_document(rng)) for _ in range(document_count)]
    samples += [
        "",
        " ",
        "\n\n  x\t\ty ",
        "I'M we'LL 1234567 3.14 a=b+c;",
        "Übergrößenträger 你好 🦊🚀 ñandú \u200b\u00a0x",
        "?!?\r\n\r\n  end  ",
    ]
    wrong = [s for s in samples if llama.tokenize(s.encode(), add_bos=False, special=True) != tokenizer.encode(s).ids]
    print(f"{path.name}: {len(wrong)} of {len(samples)} texts differ in tokens from {module}")
    for sample in wrong[:5]:
        print(repr(sample))


def answer(llama: Any, question: str, temperature: float, seed: int) -> tuple[str, bool]:
    """The answer of a chat of one turn, and whether the model stopped by itself."""
    choice = llama.create_chat_completion(
        [{"role": "user", "content": question}], temperature=temperature, seed=seed, max_tokens=300
    )["choices"][0]
    return choice["message"]["content"], choice["finish_reason"] == "stop"


def show_answers(path: Path, module: str) -> None:
    """Print the answers to the documented prompts and some more, greedy and sampled."""
    llama = importlib.import_module(module).Llama(model_path=str(path), n_ctx=512, verbose=False)
    for temperature in (0.0, 0.7):
        print(f"## temperature {temperature}\n")
        for prompt in PROMPTS + OTHER_PROMPTS:
            content, stopped = answer(llama, prompt, temperature, 1)
            print(f"> {prompt}\n{content}{'' if stopped else ' [cut]'}\n")
        for prompt in RAW_PROMPTS:
            choice = llama(prompt, temperature=temperature, seed=1, max_tokens=300)["choices"][0]
            print(f"raw> {prompt}|{choice['text']}{'' if choice['finish_reason'] == 'stop' else ' [cut]'}\n")


def is_composed(content: str, topic: Topic) -> bool:
    """Whether content is an opening of topic and then nothing but further sentences of it."""
    opening = next((opening for opening in topic.answer if content.startswith(opening)), None)
    if opening is None:
        return False
    rest = content.removeprefix(opening)
    for sentence in topic.more:
        rest = rest.replace(sentence, "", 1)
    return not rest.strip()


def score_answers(path: Path, module: str, count: int, temperature: float) -> None:
    """Count held-out questions answered with nothing but sentences of their topic, unknown ones refused, and stops."""
    llama = importlib.import_module(module).Llama(model_path=str(path), n_ctx=512, verbose=False)
    rng = random.Random(11)
    right = stopped_count = polite = 0
    for i in range(count):
        topic = rng.choice([t for t in chats.TOPICS if can_hold_out(t)])
        question = ask(rng, topic, True)
        content, stopped = answer(llama, question, temperature, i)
        stopped_count += stopped
        if is_composed(content, topic):
            right += 1
        else:
            print(f"wrong> {question}\n{content}")
    for i in range(count):
        question = unknown(rng, True)[0]
        content, stopped = answer(llama, question, temperature, i)
        stopped_count += stopped
        polite += content in ANSWERS
        if content not in ANSWERS:
            print(f"not refused> {question}\n{content}")
    print(
        f"{path.name}, {module}, temperature {temperature}: {right} of {count} held-out questions answered right, "
        f"{polite} of {count} unknown ones refused, {stopped_count} of {2 * count} stopped by themselves"
    )


def main() -> None:
    """Parse the command line and run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("loss", "tokens", "answers", "score"))
    parser.add_argument("model", type=Path)
    parser.add_argument("--module", default="edgewise", help="package with a Llama class: edgewise or llama_cpp")
    parser.add_argument("--count", type=int, default=1000, help="documents or questions")
    parser.add_argument("--temperature", type=float, default=0.0)
    arguments = parser.parse_args()
    match arguments.what:
        case "loss":
            measure_loss(arguments.model, arguments.count)
        case "tokens":
            compare_tokens(arguments.model, arguments.module, arguments.count)
        case "answers":
            show_answers(arguments.model, arguments.module)
        case "score":
            score_answers(arguments.model, arguments.module, arguments.count, arguments.temperature)


if __name__ == "__main__":
    main()
