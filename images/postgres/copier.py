"""Makes the first copy of a transfer: ranges of blocks of the source's tables, all as of one snapshot, by several sessions at once
and no faster than it may. Started by a session of the target with `COPY ... TO PROGRAM`, which writes the order into standard input.

What is to be copied stands in `shardwright.copy` and `copy_range` of the target, and a range is marked in the transaction that copies
it: whoever kills this program loses the ranges under way and nothing else. The last range switches the subscription on in the same
transaction. It ends when its row of `copy` is gone. Rows are written under a replication origin, so that no stream takes them for
changes of the application."""
import json
import os
import sys
import threading
import time

import psycopg2

import copy_source
import pacing
from copy_source import FORMS, UNLIMITED, SourceAway
from supervisor import log

TICK_SECONDS = 1.0
# After a failure, longer each time.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
# Each session has an origin, and subscriptions need theirs: with fewer left than these only the first one works.
RESERVED_ORIGINS = 4
ROOM = "SELECT current_setting('max_replication_slots')::int - count(*) FROM pg_replication_origin"
CLAIM = """SELECT r.number, r.first, r.past, c.tables->r.item, c.snapshot
FROM shardwright.copy_range r JOIN shardwright.copy c USING (transfer)
WHERE r.transfer = %s AND r.rows IS NULL ORDER BY r.number LIMIT 1 FOR UPDATE OF r SKIP LOCKED"""


class Copier:
    def __init__(self, order):
        self._transfer = order['transfer']
        self._here = {'host': order['sockets'], 'port': order['port'], 'dbname': order['database'], 'user': 'postgres'}
        self._bucket = pacing.Bucket(time.monotonic())
        self._parallel = 0
        self._workers = {}
        self._source = None

    def connect(self, name, **settings):
        always = {'log_min_error_statement': 'panic', 'lock_timeout': '0', **FORMS}
        options = ' '.join(f'-c {key}={value}' for key, value in {**always, **settings}.items())
        return psycopg2.connect(**self._here, application_name=f'{name}_{self._transfer}', options=options)

    def run(self):
        watch = self.connect('shardwright_copier', **UNLIMITED)
        watch.autocommit = True
        cursor = watch.cursor()
        cursor.execute('SELECT pg_try_advisory_lock(hashtextextended(%s, 0))', ('shardwright copier ' + self._transfer,))
        if not cursor.fetchone()[0]:
            return
        cursor.execute('SELECT subconninfo FROM pg_subscription WHERE subname = %s', (f'sw_{self._transfer}_f',))
        found = cursor.fetchone()
        if not found:
            return
        self._source = copy_source.Source(found[0], f'shardwright_copy_{self._transfer}')
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
                allowed = pacing.next_allowed(allowed, limit, measured, pacing.is_strained(pace, *self._source.strain(now)))
            before, at, fresh = spent, now, False
            self._bucket.allow(now, allowed)
            self._parallel = pace['parallel']
            self._hire(cursor)
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

    def _hire(self, cursor):
        missing = [index for index in range(self._parallel)
                   if index not in self._workers or not self._workers[index].is_alive()]
        if not missing:
            return
        cursor.execute(ROOM)
        room = cursor.fetchone()[0] - RESERVED_ORIGINS
        for index in missing:
            if index > 0 and room <= 0:
                continue
            room -= 1
            self._workers[index] = threading.Thread(target=self._work, args=(index,), daemon=True)
            self._workers[index].start()

    def _work(self, index):
        pause = FIRST_PAUSE
        while index < self._parallel:
            try:
                if not self._session(index):
                    return
                pause = FIRST_PAUSE
            except SourceAway as error:
                log(error)
            except Exception as error:  # whatever it was: a copy that stands still says why
                self._tell(error)
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _tell(self, error):
        # What a database says beyond the first line may be a row's content.
        first = error.diag.message_primary if isinstance(error, psycopg2.Error) else None
        message = ' '.join((first or str(error)).split())[:500]
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
        session = self.connect('shardwright_copy', session_replication_role='replica', **UNLIMITED)
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
        where = f"ctid >= '({first},0)'{until} AND ({table['filter']})"
        child = self._source.read(snapshot, f"SELECT {table['columns']} FROM ONLY {table['from']} WHERE {where}")
        try:
            into = f"COPY {table['into']} ({table['columns']}) FROM STDIN"
            cursor.copy_expert(into, copy_source.Paced(child.stdout, self._bucket), copy_source.PIECE)
            rows = cursor.rowcount
            # Nothing of it is kept unless the source says that it was all.
            self._source.confirm(child)
        finally:
            self._source.end(child)
        cursor.execute('UPDATE shardwright.copy_range SET rows = %s WHERE transfer = %s AND number = %s',
                       (rows, self._transfer, number))
        self._finish(cursor)

    def _finish(self, cursor):
        """One after the other: of two that are the last, the second sees that it is."""
        cursor.execute('UPDATE shardwright.copy SET failures = 0, message = NULL WHERE transfer = %s', (self._transfer,))
        cursor.execute('SELECT FROM shardwright.copy_range WHERE transfer = %s AND rows IS NULL LIMIT 1', (self._transfer,))
        if cursor.rowcount:
            return
        cursor.execute("""UPDATE shardwright.transfer t
            SET copier = jsonb_build_object('bytes', greatest(c.bytes, %s), 'fastest', c.fastest)
            FROM shardwright.copy c WHERE c.transfer = t.id AND t.id = %s""", (self._bucket.spent(), self._transfer))
        cursor.execute(f'ALTER SUBSCRIPTION sw_{self._transfer}_f ENABLE')
        # One by one: as a replica's, this session's deletes cascade to nothing.
        for table in ('copy_range', 'copy'):
            cursor.execute(f'DELETE FROM shardwright.{table} WHERE transfer = %s', (self._transfer,))

    def close(self):
        if self._source is not None:
            self._source.close()


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
    finally:
        copier.close()
    # Threads that still wait for something have nothing to say any more.
    sys.stdout.flush()
    os._exit(status)


if __name__ == '__main__':
    main()
