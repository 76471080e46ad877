"""`python -m twinzoo`."""

from twinzoo.cli import main

main()
