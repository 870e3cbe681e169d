"""A list of people from its file to the ledger."""
