"""A framework for tests of the children: forms are plain Python, and may take the process down."""

import os
import signal
import time
from typing import Any


def evaluate(form: str) -> Any:
    """What an expression makes."""
    return eval(form, {"os": os, "signal": signal, "time": time})
