"""Ports by name, plug-ins included."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from twinzoo.ports import probe, registry
from twinzoo.ports.registry import port, port_of, ports
from twinzoo.zoo.errors import PortError


class Stranger:
    """A third party's port, as far as the registry looks at it."""

    name = "stranger"

    def info(self) -> Any:
        """Fails."""
        raise RuntimeError("no driver")

    def spec_of(self, model: Any) -> Any:
        """Knows one object."""
        return "spec" if model == "strange" else None


PORT = Stranger()
SECOND = type("Torch", (Stranger,), {"name": "torch"})()


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A plug-in that works, one that does not import, and one that takes a name of ours."""
    import sys

    monkeypatch.setitem(sys.modules, "strangers", sys.modules[__name__])
    found = [
        EntryPoint("stranger", "strangers:PORT", "twinzoo.ports"),
        EntryPoint("broken", "no_such_module:PORT", "twinzoo.ports"),
        EntryPoint("second", "strangers:SECOND", "twinzoo.ports"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: found if group == "twinzoo.ports" else [])
    registry.load.cache_clear()
    yield
    monkeypatch.undo()
    registry.load.cache_clear()


def test_unknown_names() -> None:
    with pytest.raises(PortError, match="^no port is called 'pytorch': did you mean torch\\?$"):
        port("pytorch")
    with pytest.raises(PortError, match="^no port is called 'xyz': there are torch, mindspore, reference"):
        port("xyz")


def test_a_missing_framework_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "find_spec", lambda module: None)
    with pytest.raises(PortError, match=r"^PyTorch is not installed: pip install 'twinzoo\[torch\]'$"):
        port("torch")
    with pytest.raises(PortError, match=r"^MindSpore is not installed: pip install 'twinzoo\[mindspore\]'$"):
        port("mindspore")
    assert port("torch", installed=False).name == "torch"


def test_plugins(plugins: None) -> None:
    assert port("stranger").name == "stranger"
    assert port_of("strange") is port("stranger")
    with pytest.raises(PortError, match="^plug-in broken .*ModuleNotFoundError: No module named 'no_such_module'"):
        port("broken")
    found = {info.name: info.problem for info in ports()}
    assert found["stranger"] == "port stranger cannot be probed: RuntimeError: no driver"
    assert "no_such_module" in found["broken"] and "exists already" in found["second"]
    assert found["reference"] == "" and list(found)[:3] == ["torch", "mindspore", "reference"]


def test_port_of_native_objects() -> None:
    torch = pytest.importorskip("torch")
    assert port_of(torch.nn.Linear(2, 3)) is port("torch")
    assert port_of(3) is None
