"""One file per kind of loss."""
