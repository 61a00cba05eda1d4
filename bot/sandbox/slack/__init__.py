"""A Slack workspace that runs on loopback: for the sandbox's page, and as the tests' fake."""

from bot.sandbox.slack.records import Ack, CannotDo, Channel, Delivery, Message, OpenView, Person
from bot.sandbox.slack.state import SlackError
from bot.sandbox.slack.workspace import Workspace

__all__ = ["Ack", "CannotDo", "Channel", "Delivery", "Message", "OpenView", "Person", "SlackError", "Workspace"]
