"""A plug-in whose import fails: it must be reported and must leave the rest working."""

raise RuntimeError("this plug-in is broken on purpose")
