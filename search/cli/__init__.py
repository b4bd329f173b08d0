"""The command line: one command, ``fleetfit``, its verbs in the order a user meets them."""

from search.cli.main import main

__all__ = ["main"]
