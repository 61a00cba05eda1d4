"""The command line. What a program may read has ``--json``; mistakes are told in a sentence, never in a traceback."""

import click

from bot.cli.accounts import accounts_group
from bot.cli.books import ledger_group
from bot.cli.cases import cases_group
from bot.cli.prices import prices_group
from bot.cli.running import doctor, manifest, migrate, reconcile, run, sandbox
from bot.cli.tokens import tokens_group
from bot.cli.usage import usage_group


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="skydeck-credits-bot")
def main() -> None:
    """Sells prepaid AI credits in Slack. Settings come from the environment or a file .env; see README.md."""


for _command in (
    *(run, sandbox, doctor, migrate, reconcile, manifest),
    *(accounts_group, cases_group, ledger_group, prices_group, tokens_group, usage_group),
):
    main.add_command(_command)
