"""Communication Credits: meters telephony usage against prepaid balances, exactly once."""

from importlib.metadata import version

__version__ = version("communication-credits")
