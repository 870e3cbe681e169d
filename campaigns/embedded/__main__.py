"""The supervisor of one data directory: `python -m campaigns.embedded DATA_DIR LOCK`, started by `joining` alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from campaigns.embedded.supervising import supervise


def main() -> int:
    """Become nobody's child, so that no command has to wait for us, and supervise until no user is left."""
    if len(sys.argv) != 3:
        sys.exit("the commands of `outbound` start this themselves, as soon as one needs the embedded servers")
    data_dir, lock = Path(sys.argv[1]), int(sys.argv[2])
    if os.fork():
        os._exit(0)
    os.set_inheritable(lock, False)  # noqa: FBT003 - positional only; the lock is ours until we end, and nobody else's
    os.chdir("/")
    os.umask(0o077)
    return supervise(data_dir)


if __name__ == "__main__":
    sys.exit(main())
