"""The HTTP edge: what Vapi posts to us."""
