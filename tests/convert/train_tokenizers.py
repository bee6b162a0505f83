"""Small tokenizers of each kind, trained on a text and saved by transformers. By hand, never in CI."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GemmaTokenizer, LlamaTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from convert.cases import VOCABULARY_SIZE

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEMPLATE = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"
_PIECES = ["<start_of_turn>", "<end_of_turn>", "\n\n"]
_OF_THE_MACHINE = ("vocab_file", "is_local", "local_files_only")


def train_tokenizers(folder: Path, text: Path) -> None:
    """Makes those that `folder` does not hold yet."""
    makers = {"llama3": _llama3, "qwen2": _qwen2, "spm": _spm, "gemma": _gemma, "phi3": _phi3}
    for name, make in makers.items():
        if not (folder / name).exists():
            make(folder / name, text)
            _compact(folder / name)


def _llama3(folder: Path, text: Path) -> None:
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    _train_bytes(tokenizer, text, len(names))
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in names])
    begin = ("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))
    template = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[begin])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    saved = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=names[0], eos_token=names[4], chat_template=_TEMPLATE
    )
    saved.save_pretrained(folder)


def _qwen2(folder: Path, text: Path) -> None:
    tokenizer = Qwen2Tokenizer()._tokenizer  # its own steps
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer, trained.normalizer = tokenizer.pre_tokenizer, normalizers.NFC()
    # Fewer than the model has rows: real models of this family do so too.
    _train_bytes(trained, text, len(names) + 11)
    model = json.loads(trained.to_str())["model"]
    saved = Qwen2Tokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    saved.add_special_tokens({"additional_special_tokens": names[1:]})
    saved.add_tokens([AddedToken("<tool_call>", normalized=False)])
    saved.eos_token = names[2]
    saved.chat_template = _TEMPLATE
    saved.save_pretrained(folder)


def _train_bytes(tokenizer: Tokenizer, text: Path, special: int) -> None:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY_SIZE - special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train([str(text)], trainer)


def _spm(folder: Path, text: Path) -> None:
    model = _sentencepiece(folder, text, adds_blank=True)
    LlamaTokenizer.from_pretrained(folder, add_bos_token=True, legacy=True).save_pretrained(folder)
    (folder / "tokenizer.model").write_bytes(model)
    _as_published(folder)


def _phi3(folder: Path, text: Path) -> None:
    _sentencepiece(folder, text, adds_blank=True, size=VOCABULARY_SIZE - 4)
    tokenizer = LlamaTokenizer.from_pretrained(folder, add_bos_token=False, legacy=True)
    names = ["<|endoftext|>", "<|assistant|>", "<|user|>", "<|end|>"]
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=True) for name in names])
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.model").unlink(missing_ok=True)
    _as_published(folder, ("</s>", *names[1:]))


def _gemma(folder: Path, text: Path) -> None:
    _sentencepiece(folder, text, adds_blank=False, pieces=_PIECES)
    GemmaTokenizer.from_pretrained(folder).save_pretrained(folder)
    (folder / "tokenizer.model").unlink(missing_ok=True)
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    for token in values["added_tokens"]:
        token["special"] = token["content"] not in _PIECES  # as in the files that Gemma was published with
    path.write_text(json.dumps(values))


def _sentencepiece(
    folder: Path, text: Path, *, adds_blank: bool, size: int = VOCABULARY_SIZE, pieces: list[str] | None = None
) -> bytes:
    """A model such as that of Llama 2, in `folder`; with user-defined pieces, such as that of Gemma."""
    folder.mkdir(parents=True, exist_ok=True)
    is_gemma = pieces is not None
    with tempfile.TemporaryDirectory() as temporary:
        sentencepiece.SentencePieceTrainer.train(
            input=str(text),
            model_prefix=f"{temporary}/tokenizer",
            model_type="bpe",
            vocab_size=size,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=adds_blank,
            remove_extra_whitespaces=False,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            user_defined_symbols=pieces or [],
            **({"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3} if is_gemma else {}),
            **({"bos_piece": "<bos>", "eos_piece": "<eos>"} if is_gemma else {}),
            minloglevel=2,
        )
        proto = sentencepiece_model_pb2.ModelProto.FromString(Path(temporary, "tokenizer.model").read_bytes())
    for name in ("input", "model_prefix"):  # paths of the machine
        proto.trainer_spec.ClearField(name)
    model: bytes = proto.SerializeToString()
    (folder / "tokenizer.model").write_bytes(model)
    return model


def _as_published(folder: Path, strip: tuple[str, ...] = ()) -> None:
    """The steps that the files of Llama 2 and Phi 3 have; some tokens of the latter take in white space."""
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    steps = [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    ]
    values["normalizer"], values["pre_tokenizer"] = {"type": "Sequence", "normalizers": steps}, None
    values["model"]["unk_token"] = "<unk>"
    for token in values["added_tokens"]:
        token["rstrip"] = token["content"] in strip
    path.write_text(json.dumps(values))


def _compact(folder: Path) -> None:
    """tokenizer.json without blanks, and the settings without paths."""
    settings = folder / "tokenizer_config.json"
    kept = {name: value for name, value in json.loads(settings.read_text()).items() if name not in _OF_THE_MACHINE}
    settings.write_text(json.dumps(kept, indent=1) + "\n")
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values, ensure_ascii=False, separators=(",", ":")))
