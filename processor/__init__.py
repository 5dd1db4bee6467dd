"""Communication Credits: meters telephony usage against prepaid balances, exactly once."""
