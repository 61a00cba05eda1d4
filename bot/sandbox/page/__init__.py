"""The sandbox's page: a Slack workspace, GenStudio, the clock and the bot's books in one window."""

from bot.sandbox.page.app import Page
from bot.sandbox.page.books import Account, Entry, LedgerView, Purchase

__all__ = ["Account", "Entry", "LedgerView", "Page", "Purchase"]
