"""How a spec becomes a native model: one folder per framework, and the NumPy reference."""

if __name__ != "twinzoo.ports":  # a bare `import ports` would load every module a second time
    raise ImportError("import this package as twinzoo.ports, not as " + __name__)
