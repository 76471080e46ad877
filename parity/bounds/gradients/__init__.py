"""How far rounding to float32 may lead a gradient, op by op; docs/rounding.md derives it."""
