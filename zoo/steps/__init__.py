"""One file per system that is trained, beside the language they are written in (`step`, `optimizer`, `serial`)."""
