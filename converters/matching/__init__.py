"""Which layer of the source is which of the target: by names, by graph, by probe, by order."""
