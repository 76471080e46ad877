"""Doing: the demo now; data, training, evaluation, inference and the web page stand on the folders below."""

if __name__ != "twinzoo.recipes":  # a bare `import recipes` would load every module a second time
    raise ImportError("import this package as twinzoo.recipes, not as " + __name__)
