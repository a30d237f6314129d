"""`python -m crosslens` is the command `crosslens`."""

from .cli import main


main()
