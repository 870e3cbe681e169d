"""PostgreSQL and Valkey out of two wheels, for development, the demo and the tests; never for production.

Many commands may use one data directory at once. The first starts the servers, the others join, the last one out
stops them, however it went: return, exception, Ctrl-C or `kill -9`.

joining      what a command does: hold the lock of the users, find the servers or start their supervisor
supervising  one process per data directory that owns both servers and leaves when no user is left
installing   where the programs are, and a copy that an unprivileged user can read when we are root
postgres     one cluster: made once, started, restarted after a crash
valkey       a Redis that keeps nothing
processes    children that do not outlive the supervisor, and ending those of a supervisor that was killed
places       which file is where, and the locks
"""

from __future__ import annotations

from campaigns.embedded.joining import Servers, servers, sole_runner
from campaigns.embedded.places import has_servers

__all__ = ["Servers", "has_servers", "servers", "sole_runner"]
