"""Which line of the user's code a call came from."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

_HERE = Path(__file__).parent
_FRAMEWORKS = ("torch", "mindspore", "numpy")
_GENERATED = "twinzoo.ports.generated."
"""The modules of twins, which nobody wrote."""


def user_line() -> str:
    """`file.py:12` of the innermost frame of the user's code that led here, empty where there is none.

    The search ends where the run of the model began, so that the code which asked for the run is never named.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    while not _is_ours(frame.f_code.co_filename):
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_GENERATED):
            return ""
        if module.partition(".")[0] not in _FRAMEWORKS:
            return f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno}"
        if frame.f_back is None:
            return ""
        frame = frame.f_back
    return ""


@lru_cache(maxsize=1024)
def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(_HERE)


def _shown(file: str) -> str:
    """Relative to the current directory where the file is inside it, else its name alone."""
    path = Path(file)
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name
