"""Slack: Bolt, its error boundary, payloads, markup, names of actions. Knows nothing of what is sold."""
