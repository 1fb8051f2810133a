"""``python -m shiftlearn``."""

from .cli import main

main()
