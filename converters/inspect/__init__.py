"""Looking into checkpoints: what one holds, and what two differ in. Neither needs a framework."""

from twinzoo.converters.inspect.diff import diff
from twinzoo.converters.inspect.diff_text import diff_text
from twinzoo.converters.inspect.difference import Difference
from twinzoo.converters.inspect.look import inspect
from twinzoo.converters.inspect.report import Inspection
from twinzoo.converters.inspect.text import text_of

__all__ = ["Difference", "Inspection", "diff", "diff_text", "inspect", "text_of"]
