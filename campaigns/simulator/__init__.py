"""A stand-in for Vapi that shares no code with the rest of the project."""
