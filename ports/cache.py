"""Generated source as real files in the user's cache directory, and the modules imported from them.

A real file has line numbers in tracebacks and is what MindSpore's graph compiler reads. `TWINZOO_CACHE` names another
directory; where neither can be written, a private temporary one serves until the process ends.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import platformdirs

from twinzoo.zoo.errors import PortError
from twinzoo.zoo.spec import Spec, spec_hash

_PACKAGE = "twinzoo.ports.generated"
_LOCK = threading.Lock()


def directory() -> Path:
    """Where generated files belong; it need not exist."""
    chosen = os.environ.get("TWINZOO_CACHE")
    return Path(chosen or platformdirs.user_cache_dir("twinzoo")).expanduser().absolute() / "generated"


def module_of(port: str, class_name: str, spec: Spec, text: str) -> ModuleType:
    """The module of a generated source file, imported once.

    Raises:
        PortError: `TWINZOO_CACHE` is set and cannot be written to.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    stem = f"{port}_{class_name}_{spec_hash(spec)[:16]}_{digest[:8]}"
    with _LOCK:
        path = place(stem, text)
        name = f"{_PACKAGE}.{stem}"
        known = sys.modules.get(name)
        if known is not None and known.__file__ == str(path):
            return known
        return _imported(name, path, text)


def place(stem: str, text: str) -> Path:
    """The file `stem`.py with exactly this text: an equal one is kept, another is replaced in one step.

    Raises:
        PortError: `TWINZOO_CACHE` is set and cannot be written to.
    """
    try:
        return _written(directory() / f"{stem}.py", text)
    except OSError as error:
        if os.environ.get("TWINZOO_CACHE"):
            raise PortError(f"TWINZOO_CACHE={os.environ['TWINZOO_CACHE']}: cannot be written to: {error}") from None
        return _written(_private_directory() / f"{stem}.py", text)


def _written(path: Path, text: str) -> Path:
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


@cache
def _private_directory() -> Path:
    folder = tempfile.mkdtemp(prefix="twinzoo-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class _Loader(SourceFileLoader):
    """Compiles the text that was checked, and never a .pyc that lies beside the file."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        super().__init__(name, str(path))
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        """The compiled text, with the file's name for tracebacks."""
        made = compile(self._text, self.path, "exec", dont_inherit=True)
        assert isinstance(made, CodeType)
        return made


def _imported(name: str, path: Path, text: str) -> ModuleType:
    found = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, path, text))
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
