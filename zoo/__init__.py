"""What a model is: the spec language, and the models and losses written in it. Imports NumPy alone."""

if __name__ != "twinzoo.zoo":  # a bare `import zoo` would load every module a second time
    raise ImportError("import this package as twinzoo.zoo, not as " + __name__)
