"""What the command line and its subcommands share."""

import argparse
from typing import Any, NoReturn


class ArgumentParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which takes no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Print ``message`` in one line on stderr and exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")
