"""The reference port: NumPy in float64, slow and obvious, and nobody's opinion."""

from twinzoo.ports.reference.evaluate import Trace, evaluate, moved_buffers, run, trace
from twinzoo.ports.reference.port import PORT, ReferenceModel

__all__ = ["PORT", "ReferenceModel", "Trace", "evaluate", "moved_buffers", "run", "trace"]
