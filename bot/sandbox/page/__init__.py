"""The sandbox's page: a Slack workspace, the clock and the bot's books in one browser window."""

from bot.sandbox.page.app import Page
from bot.sandbox.page.books import Account, Entry, LedgerView, Purchase

__all__ = ["Account", "Entry", "LedgerView", "Page", "Purchase"]
