"""Vapi's vocabulary, and the only place that knows it: requests out, events in, signatures, the network."""
