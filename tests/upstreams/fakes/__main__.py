"""Starts the fakes: `python -m fakes PORT SCHEMAS [PUBLIC_KEY]`."""

from .server import main

main()
