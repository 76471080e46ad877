"""Which devices a framework could use here, asked in a process of its own: a crashing driver takes nothing along."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec

from twinzoo.ports.port import Device, PortInfo
from twinzoo.zoo.errors import PortError

TIMEOUT = 20.0
_MARK = "twinzoo-devices:"


@dataclass(frozen=True)
class Question:
    """What to ask about a framework.

    Attributes:
        port, title: the port and the framework's name.
        module, package: what is imported, and what pip calls it.
        script: code that fills `rows` with [device, available, detail].
    """

    port: str
    title: str
    module: str
    package: str
    script: str


TORCH = Question(
    "torch",
    "PyTorch",
    "torch",
    "torch",
    """
import torch
rows.append(["cpu", True, f"{torch.get_num_threads()} threads"])
if torch.cuda.is_available():
    for i in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(i)
        rows.append([f"cuda:{i}", True, f"{found.name}, {found.total_memory / 2**30:.0f} GiB"])
else:
    built = torch.backends.cuda.is_built()
    rows.append(["cuda", False, "no usable NVIDIA device or driver" if built else "this PyTorch is built without CUDA"])
if torch.backends.mps.is_available():
    rows.append(["mps", True, ""])
elif torch.backends.mps.is_built():
    rows.append(["mps", False, "no usable Apple GPU"])
else:
    rows.append(["mps", False, "this PyTorch is built without MPS"])
""",
)

MINDSPORE = Question(
    "mindspore",
    "MindSpore",
    "mindspore",
    "mindspore",
    """
from mindspore import device_context
rows.append(["CPU", bool(device_context.cpu.is_available()), ""])
if device_context.ascend.is_available():
    rows += [[f"Ascend:{i}", True, ""] for i in range(device_context.ascend.device_count())]
else:
    rows.append(["Ascend", False, "no Ascend device, or no CANN package for this MindSpore"])
""",
)


def version(question: Question) -> str:
    """The installed version, read without importing the framework; empty where there is none."""
    try:
        return metadata.version(question.package) if find_spec(question.module) else ""
    except (metadata.PackageNotFoundError, ValueError):
        return ""


def missing(question: Question) -> PortError:
    """The error for a framework that is not installed."""
    return PortError(f"{question.title} is not installed: pip install 'twinzoo[{question.port}]'")


@cache
def info(question: Question) -> PortInfo:
    """The framework's version and devices; what stands in the way becomes `problem`, never an exception."""
    found = version(question)
    if not found:
        return PortInfo(question.port, question.title, "", (), str(missing(question)))
    try:
        devices = tuple(Device(*row) for row in _ask(question))
    except _NoAnswer as error:
        return PortInfo(question.port, question.title, found, (), f"{question.title} {found} {error}")
    return PortInfo(question.port, question.title, found, devices)


class _NoAnswer(Exception):
    """Why a probe said nothing, as the end of a sentence that begins with the framework's name."""


def _ask(question: Question) -> list[tuple[str, bool, str]]:
    code = f"import json, sys\nsys.path[:] = json.loads(sys.argv[1])\nrows = []\n{question.script}\n"
    code += f"print({_MARK!r} + json.dumps(rows))"
    command = [sys.executable, "-c", code, json.dumps(sys.path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise _NoAnswer(f"did not answer within {TIMEOUT:.0f} s") from None
    except OSError as error:
        raise _NoAnswer(f"could not be asked: {error}") from None
    answers = [line.removeprefix(_MARK) for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode or not answers:
        raise _NoAnswer(_why(done.returncode, done.stderr))
    return [(str(name), bool(available), str(detail)) for name, available, detail in json.loads(answers[-1])]


def _why(status: int, stderr: str) -> str:
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
    if status < 0:
        names = {int(s): s.name for s in signal.Signals}
        return f"crashes when tried ({names.get(-status, f'signal {-status}')})"
    return f"fails when tried: {last or f'exit status {status}'}"
