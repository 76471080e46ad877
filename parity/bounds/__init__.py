"""How far rounding to float32 may lead, op by op; docs/rounding.md derives it."""
