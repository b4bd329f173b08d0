"""A PostgreSQL server of our own on loopback, with its own data directory, for a test session."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PASSWORD = "s3cret"
_START_S = 60


def binaries() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; None where PostgreSQL is not installed."""
    on_path = shutil.which("postgres")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    chosen = Path(on_path) if on_path else found[-1] if found else None
    return None if chosen is None else chosen.parent


class Server:
    """Started on construction; its databases live as long as it does."""

    def __init__(self, folder: Path) -> None:
        """``folder`` holds the programs of PostgreSQL."""
        self._programs = folder
        self._place = Path(tempfile.mkdtemp(prefix="fleetfit-postgres-", dir="/tmp"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:  # which PostgreSQL refuses
            user = next(u for u in pwd.getpwall() if u.pw_name in ("postgres", "nobody"))
            os.chown(self._place, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        secret = self._place / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        words = ["--username=fleetfit", f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync"]
        self._run("initdb", f"--pgdata={self._place}/data", "--encoding=UTF8", *words)
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        """The URL of a database, as a user would write it."""
        return f"postgresql://fleetfit:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, source: str = "template1") -> str:
        """The URL of a new database, empty or a copy of the one with the URL ``source``."""
        import psycopg

        name = f"store{next(self._numbers)}"
        template = source.rpartition("/")[2]
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url(name)

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = (
            "fsync=off",
            "autovacuum=off",
            "listen_addresses=127.0.0.1",
            f"port={self.port}",
        )
        options = ["-k", str(self._place), *(word for one in settings for word in ("-c", one))]
        with (self._place / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._place / "data", *options],
                stdout=log,
                stderr=log,
                cwd=self._place,
                **self._as,
            )
        until = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError((self._place / "log").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, as in a crash."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.stop()
        shutil.rmtree(self._place)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        done = subprocess.run(
            command, cwd=self._place, capture_output=True, text=True, check=False, **self._as
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
