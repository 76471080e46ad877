"""MindSpore: the op table, and models in and out. MindSpore itself is imported when a model is built, not before."""
