"""Mail that is owed: written with its cause, sent after it over SMTP, for a day; then somebody is told."""
