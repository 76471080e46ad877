"""Comparing training steps: losses, parameters, buffers and optimizers of two sides, and what explains a difference."""
