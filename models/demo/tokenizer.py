"""The demo model's byte-level BPE: trained on the corpus, cut into words by the rule that GGUF calls "qwen2"."""

import random
from pathlib import Path

from corpus.documents import END_OF_TEXT, TURN_END, TURN_START, text, training_document
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB_SIZE = 2048
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
PRE_TOKENIZER = "qwen2"
# Source: the regular expression of the Qwen2 tokenizers; every digit is a word of its own.
WORD_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(seed: int, document_count: int = 20000) -> Tokenizer:
    """Train on the text of document_count documents; special tokens take the first ids and are never merged."""
    rng = random.Random(seed)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    plain = (_without_special(text(training_document(rng))) for _ in range(document_count))
    tokenizer.train_from_iterator(plain, trainer)
    return tokenizer


def load_or_train(path: Path, seed: int) -> Tokenizer:
    """The tokenizer at path, trained and saved there first if it is missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        train_tokenizer(seed).save(str(path))
    return Tokenizer.from_file(str(path))


def _without_special(document: str) -> str:
    for token in SPECIAL_TOKENS:
        document = document.replace(token, " ")
    return document
