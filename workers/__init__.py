"""The Celery edge: when things run, and in which process."""
