"""The demo: four PyTorch checkpoints become MindSpore models, on photographs, with the agreement measured."""
