"""PyTorch: the op table, and models in and out. PyTorch itself is imported when a model is built, not before."""
