"""Entry point of ``python -m recops_models.cli``."""

from recops_models.cli import main

main()
