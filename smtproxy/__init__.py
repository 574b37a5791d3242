"""A transparent SMTP proxy: relays the dialogue live and never acknowledges a mail that the backend did not take."""

__version__ = "0.1.0"
