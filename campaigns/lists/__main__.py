"""The process that reads a list ahead."""

from campaigns.lists.reading import serve

serve()
