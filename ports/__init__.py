"""How a spec becomes a native model: one folder per framework, and the NumPy reference."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if __name__ != "twinzoo.ports":  # a bare `import ports` would load every module a second time
    raise ImportError("import this package as twinzoo.ports, not as " + __name__)

if TYPE_CHECKING:
    from twinzoo.ports.port import PortInfo


class _CallablePackage(ModuleType):
    """`twinzoo.ports` is this package and also the public function `twinzoo.ports()`: Python gives them one name."""

    def __call__(self) -> "list[PortInfo]":
        from twinzoo.ports.registry import ports

        return ports()


sys.modules[__name__].__class__ = _CallablePackage
