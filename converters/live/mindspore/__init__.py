"""Live mindspore.nn.Cells. Imported only where the caller has one, so mindspore is imported at the top."""
