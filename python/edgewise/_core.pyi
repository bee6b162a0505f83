"""The compiled half of Edgewise: conversions around the Rust core, nothing else."""

from typing import Final

VERSION: Final[str]
"""Version of the core and of the package."""
