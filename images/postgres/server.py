"""The server beside us, as the meter sees it: by its socket, and by the files of its log."""
import os
import re
import subprocess
import time
from datetime import datetime, timezone

import wal

DATA = '/var/lib/postgresql/data'
LOG = DATA + '/pg_wal'
STATUS = LOG + '/archive_status'
SOCKETS = '/run/postgresql'

# The snapshot is taken before the position is read: all that it shows lies before that.
SAMPLE = """SELECT pg_current_snapshot()::text,
  CASE WHEN pg_is_in_recovery() THEN NULL ELSE (pg_current_wal_insert_lsn() - '0/0')::bigint END"""


class NotPrimary(Exception):
    """It follows another server, and has nothing of its own to archive."""


class Server:
    """One session; opened when it is needed, and anew after it broke."""

    def __init__(self):
        self._session = None

    def query(self, text):
        import psycopg2
        try:
            if self._session is None:
                self._session = psycopg2.connect(host=SOCKETS, dbname='postgres', user='postgres', connect_timeout=3,
                                                 application_name='shardwright meter',
                                                 options='-c statement_timeout=5000')
                self._session.autocommit = True
            with self._session.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchone()
        except psycopg2.Error:
            self.close()
            raise

    def close(self):
        if self._session is not None:
            self._session.close()
            self._session = None

    def sample(self):
        """Moment, snapshot, position; the moment lies before the snapshot."""
        moment = time.monotonic()
        snapshot, place = self.query(SAMPLE)
        if place is None:
            raise NotPrimary
        return moment, snapshot, place

    def flushed(self):
        return self.query("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint")[0]

    def end_segment(self):
        return self.query("SELECT (pg_switch_wal() - '0/0')::bigint")[0]

    def identity(self):
        """Segment size, timeline, and the moment that the database was made at, by the clock of today."""
        size, name, system = self.query("""SELECT
          (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
          CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END,
          (SELECT system_identifier FROM pg_control_system())""")
        if name is None:
            raise NotPrimary
        # initdb puts the time into the upper half.
        return size, int(name[:8], 16), moment_of((system % 2 ** 64) >> 32)

    def archiver(self):
        row = self.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'")
        return row and row[0]


def moment_of(seconds):
    """A time of the wall clock on the steady one."""
    return time.monotonic() - (time.time() - seconds)


def lineage(timeline):
    if timeline == 1:
        return wal.Lineage(1)
    with open(f'{LOG}/{timeline:08X}.history', encoding='ascii') as file:
        return wal.Lineage(timeline, file.read())


def is_archived(name):
    return os.path.exists(f'{STATUS}/{name}.done')


def is_waiting(name):
    return os.path.exists(f'{STATUS}/{name}.ready')


def is_here(name):
    return os.path.exists(f'{LOG}/{name}')


def waiting():
    """Names of the segments that the archiver has not taken yet."""
    return sorted(entry[:24] for entry in os.listdir(STATUS) if entry.endswith('.ready') and wal.is_segment(entry[:-6]))


def hand_in(name):
    """Gives a file that was marked as archived to the archiver after all. False when it is not here any more."""
    if not is_here(name):
        return False
    try:
        os.rename(f'{STATUS}/{name}.done', f'{STATUS}/{name}.ready')
    except FileNotFoundError:
        # Touching what is there already changes nothing.
        with open(f'{STATUS}/{name}.ready', 'a', encoding='ascii'):
            pass
    return True


def oldest_commit(legs):
    """The time of the first commit in these parts of the log, each (timeline, from, to); None when there is none. Raises
    LookupError when they cannot be read to their ends."""
    for timeline, begin, end in legs:
        if begin >= end:
            continue
        command = ['pg_waldump', f'--path={LOG}', f'--timeline={timeline}', '--rmgr=Transaction',
                   f'--start={wal.position_text(begin)}', f'--end={wal.position_text(end)}']
        dump = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                encoding='utf-8', errors='replace', env={**os.environ, 'TZ': 'UTC'})
        said = ''
        try:
            for said in dump.stdout:
                found = re.search(r'COMMIT(?:_PREPARED)?(?: \d+:)? (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC', said)
                if found:
                    when = datetime.strptime(found.group(1), '%Y-%m-%d %H:%M:%S.%f')
                    return when.replace(tzinfo=timezone.utc).timestamp()
            if dump.wait() != 0:
                raise LookupError(said.strip())
        finally:
            dump.kill()
            dump.stdout.close()
            dump.wait()
    return None
