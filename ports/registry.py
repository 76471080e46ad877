"""The ports by name: ours, and those that plug-ins bring through the entry-point group `twinzoo.ports`.

A plug-in's entry point names an object that has the methods of twinzoo.ports.port.Port.
"""

from __future__ import annotations

import difflib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from twinzoo.ports.native import NativePort
from twinzoo.ports.port import Port, PortInfo
from twinzoo.zoo.errors import PortError

_GROUP = "twinzoo.ports"
_OURS = {
    "torch": "twinzoo.ports.torch.port",
    "mindspore": "twinzoo.ports.mindspore.port",
    "reference": "twinzoo.ports.reference",
}


@cache
def load() -> tuple[dict[str, Port], dict[str, str]]:
    """Every port by name, and why a plug-in failed, by the name of its entry point; no framework is imported."""
    found: dict[str, Port] = {name: import_module(module).PORT for name, module in _OURS.items()}
    problems = {}
    for point in entry_points(group=_GROUP):
        try:
            made: Port = point.load()
            if found.setdefault(made.name, made) is not made:
                problems[point.name] = f"plug-in {point.name} ({point.value}): port {made.name!r} exists already"
        except Exception as error:  # whatever a stranger's module raises must not take the others down
            problems[point.name] = f"plug-in {point.name} ({point.value}): {type(error).__name__}: {error}"
    return found, problems


def names() -> list[str]:
    """The names of the ports that could be loaded."""
    return list(load()[0])


def port(name: str, *, installed: bool = True) -> Port:
    """The port called `name`.

    Args:
        installed: whether its framework must be there; writing source needs none.

    Raises:
        PortError: there is no such port, its plug-in is broken, or its framework is not installed.
    """
    found, problems = load()
    if name in found:
        if installed and isinstance(made := found[name], NativePort):
            made.require()
        return found[name]
    if name in problems:
        raise PortError(problems[name])
    near = difflib.get_close_matches(name, found, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(found)}"
    raise PortError(f"no port is called {name!r}: {hint}")


def ports() -> list[PortInfo]:
    """What every port is and where it can run, asked at the same time; a broken plug-in is listed with its problem."""
    found, problems = load()
    with ThreadPoolExecutor(max_workers=len(found)) as pool:
        infos = list(pool.map(_info, found.values()))
    return infos + [PortInfo(name, "", "", (), problem) for name, problem in problems.items()]


def _info(made: Port) -> PortInfo:
    try:
        return made.info()
    except Exception as error:  # a plug-in's probe may raise what it likes
        return PortInfo(made.name, "", "", (), f"port {made.name} cannot be probed: {type(error).__name__}: {error}")


def port_of(model: Any) -> Port | None:
    """The port whose framework an object belongs to, also where the port did not build it; None for no model at all."""
    for made in load()[0].values():
        native = made.is_native(model) if isinstance(made, NativePort) else made.spec_of(model) is not None
        if native:
            return made
    return None
