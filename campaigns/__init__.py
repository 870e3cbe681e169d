"""Outbound call campaigns on Vapi: import, schedule, dispatch, call, event, outcome, export."""
