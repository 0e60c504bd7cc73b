"""`python -m jaxnas` is the command line."""

from jaxnas.cli.app import main

main()
