"""Image-to-image models as PyTorch and MindSpore twins, and the proof that nothing was lost between them."""

from __future__ import annotations

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if (_Path(__file__).parent / "zoo").is_file():  # git wrote the links as text files
    raise ImportError(
        "this checkout has no symbolic links: run `git config core.symlinks true && git checkout -- src`, "
        "or install without -e"
    )

if TYPE_CHECKING:
    from twinzoo.api import (
        build,
        compare,
        compare_steps,
        convert,
        losses,
        models,
        ports,
        record,
        spec,
        stepper,
        steps,
    )
    from twinzoo.zoo.errors import (
        CheckpointError,
        ConversionError,
        IncompleteConversionError,
        ParityError,
        PortError,
        SpecError,
        TwinzooError,
    )

__all__ = [
    "CheckpointError",
    "ConversionError",
    "IncompleteConversionError",
    "ParityError",
    "PortError",
    "SpecError",
    "TwinzooError",
    "build",
    "compare",
    "compare_steps",
    "convert",
    "losses",
    "models",
    "ports",
    "record",
    "spec",
    "stepper",
    "steps",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'twinzoo' has no attribute {name!r}")
    home = "twinzoo.zoo.errors" if name.endswith("Error") else "twinzoo.api"
    return getattr(_import_module(home), name)
