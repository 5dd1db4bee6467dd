"""`python -m processor.cli`: the `credits` command without its script."""

from processor.cli import main

main(prog_name="credits")
