"""The source of a copy, as its copier sees it: rows that a psql reads as of a snapshot, and how it bears that.

psql, because it takes rows in C: what a driver hands over row by row costs more than the copy itself."""
import os
import subprocess
import threading
import time

import psycopg2
from psycopg2.extensions import parse_dsn

from supervisor import log

PIECE = 64 * 1024
LOOK_SECONDS = 1.0
# Words of a connection that have a variable of their own: what is an argument can be seen by others.
VARIABLES = {
    'host': 'PGHOST', 'hostaddr': 'PGHOSTADDR', 'port': 'PGPORT', 'dbname': 'PGDATABASE', 'user': 'PGUSER',
    'password': 'PGPASSWORD', 'sslmode': 'PGSSLMODE', 'sslrootcert': 'PGSSLROOTCERT', 'options': 'PGOPTIONS',
    'connect_timeout': 'PGCONNECT_TIMEOUT',
}

# Lag of the source's slowest replica; a commit that changes nothing follows it, and is timed.
LAG = """SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::float8
FROM pg_stat_replication WHERE application_name !~ '^sw_'"""
COMMIT = "SELECT pg_logical_emit_message(true, 'shardwright', '')"

# Rows are text on their way: written and read by the same rules, whatever the two databases are set to.
FORMS = {'datestyle': 'ISO', 'intervalstyle': 'postgres', 'extra_float_digits': '3', 'xmloption': 'content',
         'search_path': 'pg_catalog'}
UNLIMITED = {'statement_timeout': '0', 'idle_in_transaction_session_timeout': '0', 'transaction_timeout': '0'}


class SourceAway(Exception):
    """The source cannot be reached for now: nobody's fault, and no reason to give up."""


class Refused(Exception):
    """The source said no."""


class Source:
    """`connection`: libpq's words, with a password; `name`: of its sessions."""

    def __init__(self, connection, name):
        self._words = parse_dsn(connection)
        self._name = name
        self._children = set()
        self._lock = threading.Lock()
        self._seen = (None, None)
        self._probing = None
        threading.Thread(target=self._probe, daemon=True).start()

    def read(self, snapshot, query):
        """A psql whose output is what COPY FROM STDIN takes. Give it to `end`."""
        local = ' '.join(f"SET LOCAL {name} = '{value}';" for name, value in {**UNLIMITED, **FORMS}.items())
        return self._start(f"""\\set ON_ERROR_STOP on
\\set VERBOSITY terse
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET TRANSACTION SNAPSHOT '{snapshot}';
{local}
COPY ({query}) TO STDOUT;
""")

    def confirm(self, child):
        """That it was all. Raises SourceAway, Refused."""
        said = child.stderr.read().decode(errors='replace').strip()
        code = child.wait()
        if code == 2:
            raise SourceAway(said)
        if code != 0:
            raise Refused(f'the source: {said}')

    def _start(self, script):
        environment = {**os.environ, **{VARIABLES[word]: value for word, value in self._words.items() if word in VARIABLES}}
        environment['PGAPPNAME'] = self._name
        others = ' '.join(f"{word}='{value}'" for word, value in self._words.items() if word not in VARIABLES)
        command = ['psql', '--no-psqlrc', '--quiet', '--no-password', '--file=-', *([others] if others else [])]
        child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        with self._lock:
            self._children.add(child)
        try:
            child.stdin.write(script.encode())
            child.stdin.close()
        except BrokenPipeError:
            # It has ended already: its exit says why.
            pass
        return child

    def end(self, child):
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()
        with self._lock:
            self._children.discard(child)

    def close(self):
        with self._lock:
            for child in self._children:
                child.kill()

    def _probe(self):
        """Looks at the source's replicas and times a commit, once a second, on a connection of its own."""
        session = None
        while True:
            try:
                if session is None:
                    session = psycopg2.connect(**{**self._words, 'application_name': self._name})
                    session.autocommit = True
                with session.cursor() as cursor:
                    cursor.execute(LAG)
                    lag = cursor.fetchone()[0]
                    began = self._probing = time.monotonic()
                    cursor.execute(COMMIT)
                    self._seen = (lag, (time.monotonic() - began) * 1000)
            except psycopg2.Error as error:
                log(error)
                self._seen = (None, None)
                if session is not None:
                    session.close()
                session = None
            self._probing = None
            time.sleep(LOOK_SECONDS)

    def strain(self, now):
        """Bytes that the slowest replica is behind, and how long a commit takes in ms; None for what is not known."""
        lag, latency = self._seen
        began = self._probing
        # A commit that is still waited for has taken at least so long.
        return lag, latency if began is None else max(latency or 0.0, (now - began) * 1000)


class Paced:
    """What psycopg2 reads rows from."""

    def __init__(self, stream, bucket):
        self._number = stream.fileno()
        self._bucket = bucket

    def read(self, _size=PIECE):
        piece = os.read(self._number, PIECE)
        wait = self._bucket.spend(time.monotonic(), len(piece)) if piece else 0.0
        while wait > 0:
            time.sleep(min(wait, 0.2))
            wait = self._bucket.due(time.monotonic())
        return piece
