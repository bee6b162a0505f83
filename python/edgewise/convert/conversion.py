"""A model folder into a GGUF file: everything is read and checked first, then written tensor by tensor in one pass."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edgewise import _core
from edgewise.convert.encoders import folder_metadata
from edgewise.convert.fields import read_json
from edgewise.convert.lora import CONFIG as ADAPTER_CONFIG
from edgewise.convert.lora import open_adapter
from edgewise.convert.merging import Merged, Merger
from edgewise.convert.metadata import typed
from edgewise.convert.model_config import ModelConfig, read_config, size_label
from edgewise.convert.safetensors import Checkpoint
from edgewise.convert.sampling import sampling_metadata
from edgewise.convert.source import FolderSource
from edgewise.convert.vocabulary import tokenizer_metadata
from edgewise.convert.weights import Weight, plan_weights
from edgewise.engine.encoder import check_weights
from edgewise.errors import EdgewiseError, InternalError, InvalidArgument, ModelFileError, UnsupportedError
from edgewise.quantize.bands import Target, write
from edgewise.quantize.mixes import Mix, named_mix
from edgewise.quantize.plan import make_plan
from edgewise.quantize.recipe import ModelFacts, choose
from edgewise.quantize.work import QUANTIZATION_VERSION, thread_count

if TYPE_CHECKING:
    from edgewise.convert.metadata import Metadata

Progress: TypeAlias = Callable[[int, int, str], None]
"""As `edgewise.quantize.bands.write` calls it."""


@dataclass(frozen=True)
class Options:
    """What may be chosen.

    Args:
        format: a format or a mix of formats; by default 16 bits, as the weights have them.
        replace: whether a file at the output's path is replaced.
        resume: whether to take up what an interrupted run left.
        threads: how many threads encode; 0 chooses.
        name: what the model is called; by default as its folder is.
        pre_tokenizer: name of the pre-tokenizer, where the folder has one that is not known.
        adapters: folders of LoRA adapters to merge in, and the scale of each, which multiplies what it adds.
    """

    format: str | None = None
    replace: bool = False
    resume: bool = False
    threads: int = 0
    name: str | None = None
    pre_tokenizer: str | None = None
    adapters: tuple[tuple[Path, float], ...] = ()


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        path: the file.
        architecture: as the file names it.
        parameters: how many weights.
        size_bytes: of the file.
        formats: how many tensors each format has.
        notes: what the file cannot say, and what was left out.
    """

    path: Path
    architecture: str
    parameters: int
    size_bytes: int
    formats: dict[str, int]
    notes: list[str]

    def data(self) -> dict[str, object]:
        """For programs."""
        return {**asdict(self), "path": str(self.path)}


def convert_model(
    folder: Path, path: Path | None, options: Options, progress: Progress = lambda done, total, name: None
) -> Report:
    """Writes the model in a folder as a GGUF file.

    Args:
        folder: config.json, weights in safetensors files, a tokenizer.
        path: the file to write; by default it is called as the folder and the format, and goes into the current folder.
        options: what may be chosen.
        progress: as in `edgewise.quantize.bands.write`.

    Raises:
        ModelFileError: if a part is missing, malformed or does not fit the rest; nothing is left at `path` then.
        UnsupportedError: if the model is one that is not converted.
        InvalidArgument: if the file exists already, an option is unknown, the scale of an adapter is not finite, or a
            weight is too large for its format, naming it.
        SystemRefused: if the disk is full, or refuses otherwise.
        KeyboardInterrupt: what is unfinished stays beside the place of the file, to be resumed.
    """
    if (folder / ADAPTER_CONFIG).exists() and not (folder / "config.json").exists():
        raise UnsupportedError(f"{folder} is a LoRA adapter", hint="name the folder of its base model: --base DIR")
    if not (folder / "config.json").exists():
        raise ModelFileError(f"{folder} is no model folder: it has no config.json")
    mix = None if options.format is None else named_mix(options.format)
    config = read_config(read_json(folder / "config.json"))
    with contextlib.ExitStack() as stack:
        checkpoint = stack.enter_context(Checkpoint(folder))
        weights, left_out = plan_weights(config, checkpoint.tensors)
        adapters = [Merged(open_adapter(adapter), scale) for adapter, scale in options.adapters]
        for entry in adapters:
            stack.enter_context(entry.adapter.checkpoint)
        tokenizer, vocabulary = tokenizer_metadata(folder, config.sizes["vocabulary"], options.pre_tokenizer)
        mix = mix or _mix_of(weights)
        path = path or Path(f"{folder.resolve().name}-{mix.name}.gguf")
        metadata = _general(folder, options.name, config, weights, mix, strips=vocabulary.strips)
        metadata |= sampling_metadata(folder) | config.metadata | tokenizer
        notes = [*config.notes]
        if config.architecture.is_encoder:
            own, said = folder_metadata(folder, config.architecture, config.sizes["types"])
            metadata |= own
            notes += said
        _check_tokenizer(metadata)
        threads = thread_count(options.threads)
        source = FolderSource(weights, checkpoint, threads, Merger(adapters, weights) if adapters else None)
        heads = (config.head_count, config.head_count_kv)
        facts = ModelFacts(config.architecture.name, config.block_count, *heads, 0, source.tensors())
        plan = make_plan(facts, choose(facts, mix), mix.file_type)
        target = Target(path, typed(metadata), None, options.replace, options.resume)
        try:
            written = write(plan, source, target, threads=threads, progress=progress)
        except InvalidArgument as error:
            raise source.explained(error) from error
    _check_model(path)
    if left_out:
        notes.append(f"{len(left_out)} tensors are no part of the text model and were left out, such as {left_out[0]}")
    if vocabulary.ignored:
        notes.append(f"{vocabulary.ignored} added tokens were left out: the model has no rows for them")
    return Report(
        path,
        config.architecture.name,
        _parameters(weights),
        written.size_bytes,
        dict(Counter(tensor.format for tensor in plan.tensors)),
        notes,
    )


def _mix_of(weights: list[Weight]) -> Mix:
    """The 16 bits that most matrices have; of 32 bits, those that keep the most digits."""
    stored = Counter(weight.stored_format for weight in weights if not weight.is_vector)
    return named_mix("bf16" if stored.most_common(1)[0][0] == "bf16" else "f16")


def _general(
    folder: Path, name: str | None, config: ModelConfig, weights: list[Weight], mix: Mix, *, strips: bool
) -> Metadata:
    name = name or folder.resolve().name
    # Engines know by the name alone that the special tokens of Phi 3 take in the white space behind them.
    if config.architecture.name == "phi3" and strips and "phi-3" not in name.lower() and "phi3" not in name.lower():
        name = f"Phi-3 {name}"
    return {
        "general.architecture": config.architecture.name,
        "general.type": "model",
        "general.name": name,
        "general.size_label": size_label(_parameters(weights)),
        "general.file_type": mix.file_type,
        "general.quantization_version": QUANTIZATION_VERSION,
    }


def _parameters(weights: list[Weight]) -> int:
    return sum(weight.values_count for weight in weights if weight.source is not None)


def _check_tokenizer(metadata: Metadata) -> None:
    """Reads the tokenizer as engines will, before hours of work; a wrong `--pre-tokenizer` is found here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.gguf")
        _core.GgufWriter(path, typed(metadata), []).finish()
        _core.Tokenizer(_core.ModelFile(path))


def _check_model(path: Path) -> None:
    try:
        check_weights(_core.ModelFile(path))
    except EdgewiseError as error:
        path.unlink(missing_ok=True)
        raise InternalError(f"the converted file is not sound: {error.message}") from error
