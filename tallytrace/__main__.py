"""``python -m tallytrace``: how one process of the product starts another."""

from tallytrace.cli import main

main()
