"""A port of a third party: the reference's arithmetic under another name."""

from twinzoo.ports.port import Device, PortInfo
from twinzoo.ports.reference.port import ReferencePort


class ExamplePort(ReferencePort):
    """The reference port, renamed."""

    name = "example"

    def info(self) -> PortInfo:
        return PortInfo("example", "NumPy", "0.0.1", (Device("cpu", True, "float64"),))


PORT = ExamplePort()
