"""Measurements beside a limit or a peer in the same run; `make bench` runs them."""
