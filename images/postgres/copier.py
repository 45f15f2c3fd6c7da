"""Makes the first copy of a transfer: ranges of blocks of the source's tables, all as of one snapshot, by several sessions at once
and no faster than it may. Started by a session of the target with `COPY ... TO PROGRAM`, which writes the order into standard input.

What is to be copied stands in `shardwright.copy` and `copy_range` of the target, and a range is marked in the transaction that copies
it: whoever kills this program loses the ranges under way and nothing else. The last range switches the subscription on in the same
transaction. It ends when its row of `copy` is gone. Rows are written under a replication origin, so that no stream takes them for
changes of the application."""
import json
import os
import subprocess
import sys
import threading
import time

import psycopg2
from psycopg2.extensions import parse_dsn

import pacing

PIECE = 64 * 1024
TICK_SECONDS = 1.0
# After a failure, longer each time.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
# Words of a connection that have a variable of their own: what is an argument can be seen by others.
VARIABLES = {
    'host': 'PGHOST', 'hostaddr': 'PGHOSTADDR', 'port': 'PGPORT', 'dbname': 'PGDATABASE', 'user': 'PGUSER',
    'password': 'PGPASSWORD', 'sslmode': 'PGSSLMODE', 'sslrootcert': 'PGSSLROOTCERT', 'options': 'PGOPTIONS',
    'connect_timeout': 'PGCONNECT_TIMEOUT',
}

# Lag of the source's slowest replica; a commit that changes nothing follows it, and is timed.
LAG = "SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::float8 FROM pg_stat_replication WHERE application_name !~ '^sw_'"
COMMIT = "SELECT pg_logical_emit_message(true, 'shardwright', '')"

CLAIM = """SELECT r.number, r.first, r.past, c.tables->r.item, c.snapshot
FROM shardwright.copy_range r JOIN shardwright.copy c USING (transfer)
WHERE r.transfer = %s AND r.rows IS NULL ORDER BY r.number LIMIT 1 FOR UPDATE OF r SKIP LOCKED"""


class SourceAway(Exception):
    """The source cannot be reached for now: nobody's fault, and no reason to give up."""


class Refused(Exception):
    """The source said no."""


def log(message):
    print(f'copier: {message}', flush=True)


class Copier:
    def __init__(self, order):
        self._transfer = order['transfer']
        self._here = {'host': order['sockets'], 'port': order['port'], 'dbname': order['database'], 'user': 'postgres'}
        self._bucket = pacing.Bucket(time.monotonic())
        self._parallel = 0
        self._workers = {}
        self._children = set()
        self._lock = threading.Lock()
        self._seen = (None, None)
        self._probing = None

    def connect(self, name, **settings):
        options = ' '.join(f'-c {key}={value}' for key, value in settings.items())
        return psycopg2.connect(**self._here, application_name=f'{name}_{self._transfer}',
                                options=f'-c search_path=pg_catalog -c lock_timeout=0 -c log_min_error_statement=panic {options}')

    def run(self):
        watch = self.connect('shardwright_copier', statement_timeout='30s')
        watch.autocommit = True
        cursor = watch.cursor()
        cursor.execute('SELECT pg_try_advisory_lock(hashtextextended(%s, 0))', ('shardwright copier ' + self._transfer,))
        if not cursor.fetchone()[0]:
            return
        cursor.execute('SELECT subconninfo FROM pg_subscription WHERE subname = %s', (f'sw_{self._transfer}_f',))
        found = cursor.fetchone()
        if not found:
            return
        self._source = parse_dsn(found[0])
        threading.Thread(target=self._probe, daemon=True).start()
        allowed, before, at = None, 0, time.monotonic()
        fresh = True
        while True:
            now, spent = time.monotonic(), self._bucket.spent()
            measured = (spent - before) / max(now - at, 0.001)
            pace = self._account(cursor, spent - before, 0 if fresh else measured, allowed)
            if pace is None:
                self._leave(cursor)
                return
            limit = pace.get('maxBytesPerSecond')
            if fresh:
                allowed = limit
            else:
                allowed = pacing.next_allowed(allowed, limit, measured, pacing.is_strained(pace, *self._look(now)))
            before, at, fresh = spent, now, False
            self._bucket.allow(now, allowed)
            self._parallel = pace['parallel']
            self._hire()
            time.sleep(TICK_SECONDS)

    def _account(self, cursor, count, measured, allowed):
        cursor.execute("""UPDATE shardwright.copy SET bytes = bytes + %s, fastest = greatest(fastest, %s), allowed = %s
            WHERE transfer = %s RETURNING pace""", (count, int(measured), allowed and int(allowed), self._transfer))
        row = cursor.fetchone()
        return row and row[0]

    def _leave(self, cursor):
        self._parallel = 0
        for worker in self._workers.values():
            worker.join(TICK_SECONDS)
        cursor.execute("SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname ~ %s",
                       (f'^sw_{self._transfer}_c[0-9]+$',))

    def _hire(self):
        for index in range(self._parallel):
            if index not in self._workers or not self._workers[index].is_alive():
                self._workers[index] = threading.Thread(target=self._work, args=(index,), daemon=True)
                self._workers[index].start()

    def _work(self, index):
        pause = FIRST_PAUSE
        while index < self._parallel:
            try:
                with_rows = self._session(index)
                if not with_rows:
                    return
                pause = FIRST_PAUSE
            except SourceAway as error:
                log(error)
            except (psycopg2.Error, Refused) as error:
                self._tell(error)
            except BaseException as error:  # a thread that ends unseen would leave the copy standing still
                self._tell(error)
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _tell(self, error):
        message = ' '.join(str(error).split())[:500]
        log(message)
        try:
            session = self.connect('shardwright_copy', statement_timeout='10s')
            try:
                with session, session.cursor() as cursor:
                    cursor.execute('UPDATE shardwright.copy SET failures = failures + 1, message = %s WHERE transfer = %s',
                                   (message, self._transfer))
            finally:
                session.close()
        except psycopg2.Error as again:
            log(again)

    def _session(self, index):
        """Copies range after range. False: there is none left for it."""
        session = self.connect('shardwright_copy', session_replication_role='replica', statement_timeout='0')
        try:
            name = f'sw_{self._transfer}_c{index}'
            with session, session.cursor() as cursor:
                cursor.execute("""SELECT pg_replication_origin_create(%s)
                    WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = %s)""", (name, name))
            with session, session.cursor() as cursor:
                cursor.execute('SELECT pg_replication_origin_session_setup(%s)', (name,))
            while index < self._parallel:
                with session, session.cursor() as cursor:
                    cursor.execute(CLAIM, (self._transfer,))
                    found = cursor.fetchone()
                    if not found:
                        return False
                    self._copy(cursor, *found)
            return True
        finally:
            session.close()

    def _copy(self, cursor, number, first, past, table, snapshot):
        until = '' if past is None else f" AND ctid < '({past},0)'"
        script = f"""\\set ON_ERROR_STOP on
\\set VERBOSITY terse
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET TRANSACTION SNAPSHOT '{snapshot}';
SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL search_path = pg_catalog;
COPY (SELECT {table['columns']} FROM ONLY {table['from']} WHERE ctid >= '({first},0)'{until} AND ({table['filter']})) TO STDOUT;
"""
        child = self._start(script)
        try:
            # Nothing of it is kept unless the source says that it was all.
            cursor.copy_expert(f"COPY {table['into']} ({table['columns']}) FROM STDIN", Paced(child.stdout, self._bucket), PIECE)
            rows = cursor.rowcount
            said = child.stderr.read().decode(errors='replace')
            code = child.wait()
        finally:
            self._end(child)
        if code == 2:
            raise SourceAway(said.strip())
        if code != 0:
            raise Refused(f'the source: {said.strip()}')
        cursor.execute('UPDATE shardwright.copy_range SET rows = %s WHERE transfer = %s AND number = %s',
                       (rows, self._transfer, number))
        self._finish(cursor)

    def _finish(self, cursor):
        """One after the other: of two that are the last, the second sees that it is."""
        cursor.execute('UPDATE shardwright.copy SET failures = 0, message = NULL WHERE transfer = %s', (self._transfer,))
        cursor.execute('SELECT FROM shardwright.copy_range WHERE transfer = %s AND rows IS NULL LIMIT 1', (self._transfer,))
        if cursor.rowcount:
            return
        cursor.execute("""UPDATE shardwright.transfer t SET copier = jsonb_build_object('bytes', greatest(c.bytes, %s), 'fastest', c.fastest)
            FROM shardwright.copy c WHERE c.transfer = t.id AND t.id = %s""", (self._bucket.spent(), self._transfer))
        cursor.execute(f'ALTER SUBSCRIPTION sw_{self._transfer}_f ENABLE')
        cursor.execute('DELETE FROM shardwright.copy WHERE transfer = %s', (self._transfer,))

    def _start(self, script):
        environment = {**os.environ, **{VARIABLES[word]: value for word, value in self._source.items() if word in VARIABLES}}
        environment['PGAPPNAME'] = f'shardwright_copy_{self._transfer}'
        others = ' '.join(f"{word}='{value}'" for word, value in self._source.items() if word not in VARIABLES)
        child = subprocess.Popen(['psql', '--no-psqlrc', '--quiet', '--no-password', '--file=-', others or 'application_name='],
                                 env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with self._lock:
            self._children.add(child)
        try:
            child.stdin.write(script.encode())
            child.stdin.close()
        except BrokenPipeError:
            # It has ended already: its exit says why.
            pass
        return child

    def _end(self, child):
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
                    session = psycopg2.connect(**{**self._source, 'application_name': f'shardwright_copy_{self._transfer}'})
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
            time.sleep(TICK_SECONDS)

    def _look(self, now):
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


def main():
    # COPY has doubled what it takes for its own signs.
    order = json.loads(sys.stdin.readline().replace('\\\\', '\\'))
    copier = Copier(order)
    status = 0
    try:
        copier.run()
    except psycopg2.Error as error:
        log(f'ends: {error}')
        status = 1
    copier.close()
    # Threads that still wait for something have nothing to say any more.
    sys.stdout.flush()
    os._exit(status)


if __name__ == '__main__':
    main()
