"""The command line. What a program may read has ``--json``; mistakes are told in a sentence, never in a traceback."""

import errno
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any, Final

import click

# Where each command is. One that lists accounts should not load what answers Slack: that takes longer than its work.
_COMMANDS: Final = {
    "accounts": "accounts:accounts_group",
    "cases": "cases:cases_group",
    "doctor": "running:doctor",
    "ledger": "books:ledger_group",
    "manifest": "installing:manifest",
    "migrate": "installing:migrate",
    "prices": "prices:prices_group",
    "reconcile": "running:reconcile",
    "run": "running:run",
    "sandbox": "running:sandbox",
    "tokens": "tokens:tokens_group",
    "usage": "usage:usage_group",
}

_UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _Commands(click.Group):
    """Loads a command when it is asked for."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        _open_what_is_closed()
        if isinstance(sys.stdout, TextIOWrapper):  # a terminal may lack letters, such as the dash of a table
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # click has ended already where it is a pipe that nobody reads
            if error.errno not in _UNWRITABLE:
                raise
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - Python would try once more at its end
            sys.exit(f"Error: the output cannot be written: {error.strerror}")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"bot.cli.{module}"), name)
        return command


def _open_what_is_closed() -> None:
    """Whoever starts a program may close its input and output; a socket that came in their place would be cut off."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as it runs


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="skydeck-credits-bot")
def main() -> None:
    """Sells prepaid AI credits in Slack. Settings come from the environment or a file .env; see README.md."""
