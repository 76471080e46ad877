"""The table of differences between PyTorch and MindSpore, measured on the installed versions."""
