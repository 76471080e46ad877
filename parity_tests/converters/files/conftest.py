"""What the tests of checkpoint files share: tensors of every kind, and files with an arbitrary pickle in them."""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest


@pytest.fixture
def tensors() -> dict[str, npt.NDArray[Any]]:
    """Small tensors that differ in type, rank and layout, in an order that is not alphabetical."""
    noise = np.random.default_rng(0)
    return {
        "stem.weight": noise.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "flags": np.array([True, False, True]),
        "stem.bias": noise.standard_normal(4).astype(ml_dtypes.bfloat16),
        "transposed": np.arange(6, dtype=np.float64).reshape(2, 3).T,
        "scalar": np.array(2.5, np.float16),
        "counter": np.array(7, np.int64),
        "bytes": np.arange(5, dtype=np.uint8),
        "none": np.zeros((0, 3), np.float32),
        "special": np.array([np.nan, np.inf, -0.0, 5e-324]),
    }


@pytest.fixture
def torch_zip(tmp_path: Path) -> Callable[..., Path]:
    """Writes a torch zip file around a pickle that torch itself might never write."""

    def make(pickled: bytes, storages: Mapping[str, bytes] | None = None, **members: bytes) -> Path:
        path = tmp_path / "made.pth"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("made/data.pkl", pickled)
            for name, content in {**members, "version": b"3\n"}.items():
                archive.writestr(f"made/{name}", content)
            for key, content in (storages or {}).items():
                archive.writestr(f"made/data/{key}", content)
        return path

    return make


@pytest.fixture
def torch_legacy(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes a torch file of before 1.6 around a pickle, without storages."""

    def make(pickled: bytes) -> Path:
        path = tmp_path / "legacy.pth"
        start = [pickle.dumps(item, 2) for item in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        path.write_bytes(b"".join([*start, pickled, pickle.dumps([], 2)]))
        return path

    return make
