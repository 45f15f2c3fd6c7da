"""A server on restored data: it listens on a socket of this pod only, with settings that no file of the restored data can
overrule."""
import os
import re
import signal
import subprocess
import time

import pgbackrest
import wal
from task import Child

DATA = '/var/lib/postgresql/data'
SOCKETS = '/run/postgresql'
FILES = '/tmp/restored'
LOG_LINES = re.compile(r'(?:FATAL|PANIC):  (.*)')


def controls():
    """What pg_controldata says."""
    text = subprocess.run(['pg_controldata', '-D', DATA], check=True, capture_output=True, encoding='utf-8').stdout
    return {name: value.strip() for name, _, value in (line.partition(':') for line in text.splitlines())}


def settings():
    known = controls()
    return {
        'config_file': FILES + '/postgresql.conf',
        'hba_file': FILES + '/hba.conf',
        'ident_file': FILES + '/ident.conf',
        'listen_addresses': '',
        'unix_socket_directories': SOCKETS,
        'ssl': 'off',
        'archive_mode': 'off',
        # A subscription that came back with the data must never dial the live fleet, nor a standby its primary.
        'max_logical_replication_workers': '0',
        'primary_conninfo': '',
        'sync_replication_slots': 'off',
        # What it looks at shall stay as it was brought back.
        'autovacuum': 'off',
        'shared_preload_libraries': '',
        'session_preload_libraries': '',
        'synchronous_standby_names': '',
        'hot_standby': 'off',
        # As the source had them: the log may hold as much.
        'max_connections': known['max_connections setting'],
        'max_worker_processes': known['max_worker_processes setting'],
        'max_wal_senders': known['max_wal_senders setting'],
        'max_prepared_transactions': known['max_prepared_xacts setting'],
        'max_locks_per_transaction': known['max_locks_per_xact setting'],
        'wal_level': known['wal_level setting'],
        'logging_collector': 'off',
        'log_destination': 'stderr',
        'log_line_prefix': '',
        'lc_messages': 'C',
        'log_min_messages': 'warning',
    }


class Restored:
    def __init__(self, database):
        self._database = database
        self._child = None
        self._session = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()
        if self._child is not None:
            self._child.__exit__()

    def start(self, seconds):
        """None once it answers queries, or why it does not."""
        os.makedirs(FILES, mode=0o700, exist_ok=True)
        for name, text in (('postgresql.conf', ''), ('hba.conf', 'local all postgres peer\n'), ('ident.conf', '')):
            with open(os.path.join(FILES, name), 'w', encoding='utf-8') as file:
                file.write(text)
        options = [f'--{name}={value}' for name, value in settings().items()]
        # Immediately, if it is still recovering by then.
        self._child = Child(['postgres', '-D', DATA, *options], stop_signal=signal.SIGQUIT)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._child.ended(0.1) is not None:
                return self._cause()
            if self._answers():
                return None
        return f'it did not answer within {seconds:.0f} s'

    def _answers(self):
        import psycopg2
        try:
            self._session = psycopg2.connect(host=SOCKETS, dbname=self._database, user='postgres', connect_timeout=3,
                                             options='-c search_path=pg_catalog')
        except psycopg2.OperationalError as error:
            # A server that is ready and has no such database will not get it by waiting.
            if 'does not exist' in str(error):
                raise
            return False
        self._session.autocommit = True
        return self.value('SELECT NOT pg_is_in_recovery()')

    def _cause(self):
        said = self._child.said()
        # It also logs that it was asked too early.
        fatal = [words for words in LOG_LINES.findall(said) if not words.startswith('the database system is ')]
        message = fatal[0] if fatal else 'the restored server ended'
        if 'recovery target' in message:
            message = f'the archive ends before the target is reached: {self.why_it_ended()}'
        return f'recovering failed: {message}'

    def ended_early(self):
        """Whether the last start failed because the archive ended before its target."""
        return 'recovery ended before configured recovery target was reached' in self._child.said()

    def why_it_ended(self):
        """The segment that recovery was not given, as far as it is known, and what pgBackRest said of it."""
        said = self._child.said()
        problems = [line for line in said.splitlines() if line.startswith(('ERROR: [', 'P00  ERROR', 'P00 ERROR'))]
        if problems:
            return 'the archive cannot be read: ' + pgbackrest.explain(problems[0], pgbackrest.secrets())
        return 'a segment between is missing'

    def execute(self, statement):
        with self._session.cursor() as cursor:
            cursor.execute(statement)

    def value(self, query):
        with self._session.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            return None if row is None else row[0]

    def digest(self, table, digest):
        """Rows and hash; None when the table is not there."""
        with self._session.cursor() as cursor:
            for name, value in {**digest['settings'], 'shardwright.table': table}.items():
                cursor.execute('SELECT set_config(%s, %s, false)', (name, value))
            cursor.execute('SELECT to_regclass(%s) IS NOT NULL', (table,))
            if not cursor.fetchone()[0]:
                return None
            cursor.execute(digest['statement'])
            cursor.execute(cursor.fetchone()[0])
            rows, hashed = cursor.fetchone()
            return {'rows': rows, 'hash': hashed}

    def recovered_to(self):
        """Timeline and position at which recovery ended: the last line of the history that promotion wrote."""
        timeline = int(self.value('SELECT timeline_id FROM pg_control_checkpoint()'))
        name = self.value('SELECT pg_walfile_name(pg_current_wal_insert_lsn())')
        timeline = max(timeline, int(name[:8], 16))
        with open(f'{DATA}/pg_wal/{timeline:08X}.history', encoding='utf-8') as file:
            last = [line.split() for line in file if line.strip() and not line.startswith('#')][-1]
        return int(last[0]), wal.position(last[1])

    def check_structure(self):
        done = subprocess.run(['pg_amcheck', '--host', SOCKETS, '--username', 'postgres', '--all', '--install-missing'],
                              capture_output=True, encoding='utf-8', errors='replace', check=False)
        if done.returncode == 0:
            return True, 'pg_amcheck found nothing wrong'
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        return False, 'pg_amcheck: ' + ' '.join(said[:2])[:400]

    def stop_and_check_pages(self):
        """None when the database keeps no checksums."""
        self.stop()
        if controls()['Data page checksum version'] == '0':
            return None
        done = subprocess.run(['pg_checksums', '--check', '-D', DATA], capture_output=True, encoding='utf-8',
                              errors='replace', check=False)
        if done.returncode == 0:
            counted = re.search(r'Blocks scanned:\s+(\d+)', done.stdout)
            return True, f'{counted.group(1) if counted else "all"} pages have the checksum that they say'
        return False, 'pg_checksums: ' + ' '.join((done.stderr or done.stdout).split())[:400]

    def stop(self):
        self._close()
        with Child(['pg_ctl', 'stop', '-D', DATA, '-m', 'fast', '-w', '-t', '86400']) as stop:
            stop.ended(None)

    def _close(self):
        if self._session is not None:
            self._session.close()
            self._session = None
