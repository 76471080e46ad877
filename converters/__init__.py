"""Checkpoints: lazy readers, writers, matching of names and layers, and the conversion itself."""

if __name__ != "twinzoo.converters":  # a bare `import converters` would load every module a second time
    raise ImportError("import this package as twinzoo.converters, not as " + __name__)
