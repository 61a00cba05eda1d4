"""A Slack bot that sells prepaid AI credits, keeps the account of them and brings a person to support."""
