"""Settings that MindSpore needs before it is imported, and before its first operation.

On a processor with AVX-512 the oneDNN inside MindSpore's CPU package falls back to a reference kernel for every
convolution, 50 times slower and more. Limited to AVX2 it takes its fast kernels. The environment variable
`ONEDNN_MAX_CPU_ISA` would limit PyTorch's own oneDNN as well, so MindSpore's library is told directly.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_AVX2 = 0x7  # dnnl_cpu_isa_avx2
_SUCCESS = 0
_QUIET = "3"  # glog's level for errors alone


@cache
def prepare() -> str:
    """Set up MindSpore once, before its first import or at least its first operation; the user's own settings win.

    - `GLOG_v=3`: no warnings of the framework on stderr.
    - `MS_OM_PATH`: compiler dumps in the temporary directory, not in a folder `rank_0` of the working directory.
    - oneDNN limited to AVX2, where the processor has AVX-512.

    Returns:
        What was done about oneDNN, in words.
    """
    os.environ.setdefault("GLOG_v", _QUIET)
    os.environ.setdefault("MS_OM_PATH", str(Path(tempfile.gettempdir()) / "twinzoo-mindspore"))
    for variable in _LIMITS:
        if variable in os.environ:
            return f"oneDNN follows {variable}={os.environ[variable]}"
    if not has_avx512():
        return "oneDNN needs no limit: no AVX-512 here"
    library = _onednn()
    if library is None:
        return "oneDNN was not found in this MindSpore"
    status = ctypes.CDLL(str(library)).dnnl_set_max_cpu_isa(_AVX2)
    if status != _SUCCESS:
        return "oneDNN could not be limited: MindSpore had already computed something; convolutions may be slow"
    return "oneDNN is limited to AVX2"


def has_avx512() -> bool:
    """Whether the processor is an x86 with AVX-512, as Linux says; on other systems nothing is known of the fault."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return sys.platform == "linux" and "avx512f" in Path("/proc/cpuinfo").read_text(errors="replace")


def _onednn() -> Path | None:
    """MindSpore's own oneDNN library, found without importing MindSpore."""
    found = find_spec("mindspore")
    if found is None or found.origin is None:
        return None
    libraries = sorted((Path(found.origin).parent / "lib").glob("libdnnl.so*"))
    return libraries[-1] if libraries else None
