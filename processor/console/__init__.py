"""The console: a read model of accounts and ledger, an HTTP API and the administrator's pages."""
