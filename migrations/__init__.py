"""The database's shape, one change to a file."""
