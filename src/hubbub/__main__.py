"""``python -m hubbub``."""

from hubbub.cli.main import main

main()
