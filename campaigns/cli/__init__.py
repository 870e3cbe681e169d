"""The `outbound` command."""
