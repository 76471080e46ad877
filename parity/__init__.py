"""Comparing: traces, rounding bounds, the first divergence, and reports."""

if __name__ != "twinzoo.parity":  # a bare `import parity` would load every module a second time
    raise ImportError("import this package as twinzoo.parity, not as " + __name__)
