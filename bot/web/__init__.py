"""HTTP: the server, limits on what it reads, health and metrics, and the doors for Slack and for buyers."""
