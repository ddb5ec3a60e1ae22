"""A study on a PostgreSQL server, for workers on any number of machines.

User and password never stand in the address: libpq reads PGUSER, PGPASSWORD, PGPASSFILE and their like from the
environment, so that nothing secret can reach a parameter, a log or git.
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator

from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage

from rffd.errors import RffdError

LOCK = 0x52464644  # one advisory lock for all studies on the server; held for milliseconds
BEAT = 15  # seconds between signs of life
SILENCE = 60  # seconds without one until a worker counts as dead


class Postgres:
    """One process's way to the studies at `address` (postgresql://host/database)."""

    def __init__(self, address: str, beat: int = BEAT, silence: int = SILENCE):
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise RffdError(
                "'search.storage' is on PostgreSQL, which needs its driver: pip install '.[postgres]'"
            ) from None
        import sqlalchemy

        url = sqlalchemy.make_url(address).set(drivername="postgresql+psycopg")
        connect = {"connect_timeout": 10}
        self._engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=connect)
        self._sql = sqlalchemy.text
        self.beat = beat
        try:
            with (
                warnings.catch_warnings(),
                self.mutex(),
            ):  # two that start together must not both make tables
                options = {"pool_pre_ping": True, "connect_args": connect}
                text = url.render_as_string(hide_password=False)
                warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are; our test watches them
                self.storage = RDBStorage(text, options, heartbeat_interval=beat, grace_period=silence)
        except sqlalchemy.exc.OperationalError as error:
            reason = " ".join(str(error.orig).split())
            raise RffdError(
                f"search.storage: {url.host or 'the local server'}, database {url.database}, can't be used ({reason}); "
                "set PGUSER and PGPASSWORD (or PGPASSFILE), and check that the server is up"
            ) from None

    def close(self) -> None:
        """Close the connections."""
        self.storage.engine.dispose()
        self._engine.dispose()

    @contextlib.contextmanager
    def mutex(self) -> Iterator[None]:
        """Hold the right to claim trials; the server takes it back when the connection ends."""
        with self._engine.connect() as connection:
            connection.execute(self._sql("select pg_advisory_lock(:key)"), {"key": LOCK})
            yield

    def claim(self, trial_id: int) -> None:
        """Give a first sign of life, before the trial counts as running."""
        self.storage.record_heartbeat(trial_id)

    def dead(self, study_name: str) -> list[int]:
        """Ids of trials that count as running, but gave no sign of life for long. Call it under `mutex`."""
        study_id = self.storage.get_study_id_from_name(study_name)
        return self.storage._get_stale_trial_ids(study_id)  # what `optuna.storages.fail_stale_trials` calls

    @contextlib.contextmanager
    def beating(self, trial_id: int) -> Iterator[None]:
        """Give signs of life from a thread while the block runs."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self.beat):
                with contextlib.suppress(Exception):  # the next one may get through
                    self.storage.record_heartbeat(trial_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
