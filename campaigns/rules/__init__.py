"""Pure decisions: values in, values out. No session, no settings, no clock."""
