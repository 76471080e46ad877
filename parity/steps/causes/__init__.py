"""What each kind of mistake leaves behind in two records of training: one module for each stage of a step."""
