"""How a model's makers sample from it: generation_config.json as metadata, which engines take for defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise.convert.fields import Fields, read_json_if_there

if TYPE_CHECKING:
    from pathlib import Path

    from edgewise.convert.metadata import Metadata

_KEYS = {"temperature": "temp", "top_p": "top_p", "min_p": "min_p", "repetition_penalty": "penalty_repeat"}


def sampling_metadata(folder: Path) -> Metadata:
    """The keys below `general.sampling`; none if the file is absent or says that nothing is sampled.

    Raises:
        ModelFileError: if a value is no number above 0.
    """
    config = Fields(read_json_if_there(folder / "generation_config.json"), "generation_config.json")
    if not config.flag("do_sample", False):
        return {}
    metadata: Metadata = {
        f"general.sampling.{key}": config.number(name) for name, key in _KEYS.items() if config.get(name)
    }
    if config.get("top_k"):
        metadata["general.sampling.top_k"] = config.whole("top_k")
    return metadata
