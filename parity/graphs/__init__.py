"""Comparing any two live models: each becomes a graph by being run once, and the graphs are laid on each other."""
