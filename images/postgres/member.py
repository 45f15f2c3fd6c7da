"""`member database` runs Patroni with PostgreSQL, `member pooler` runs PgBouncer. See the README of the engine."""
import fcntl
import importlib
import json
import os
import signal
import sys
import time

import helpers
import passwords
from supervisor import MountedFolders, Supervisor, in_background, log

SETTINGS = '/etc/shardwright/settings'
CERTIFICATES = '/etc/shardwright/tls'
PASSWORDS = '/etc/shardwright/passwords'
SOCKETS = '/run/postgresql'
VOLUME = '/var/lib/postgresql'
PATRONI = '/tmp/patroni'
PASSFILE = '/tmp/pgpass'
AGREED = PATRONI + '/agreed'


def read_password(name):
    with open(os.path.join(PASSWORDS, name), encoding='utf-8') as file:
        return file.read().strip()


def hold_volume():
    """One process tree per volume. A pod that was force-deleted can still be running beside its successor of the same
    name; PostgreSQL's own interlock does not see across containers, a lock on the file does."""
    lock = os.open(os.path.join(VOLUME, '.in-use'), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    waited = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not waited:
                log('waiting: another container still uses this volume')
            waited = True
            time.sleep(0.1)


def write_patroni_settings():
    """Patroni reads a folder: what the operator rendered, and beside it, in memory only, the passwords."""
    os.makedirs(PATRONI, mode=0o700, exist_ok=True)
    with open(os.path.join(SETTINGS, 'patroni.json'), encoding='utf-8') as file:
        write_file('10-settings.yaml', file.read())
    write_file('20-passwords.yaml', json.dumps({
        'restapi': {'authentication': {'username': 'operator', 'password': read_password('rest')}},
        'postgresql': {'authentication': {
            'superuser': {'password': read_password('superuser')},
            'replication': {'password': read_password('replication')},
        }},
    }))


def write_file(name, text):
    path = os.path.join(PATRONI, name)
    descriptor = os.open(path + '.new', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, 'w', encoding='utf-8') as file:
        file.write(text)
    os.replace(path + '.new', path)


class Database:
    """What Patroni alone would notice late: a dead postmaster at the end of its loop, a new password never."""

    def __init__(self):
        self.helpers = helpers.Helpers(VOLUME + '/data', CERTIFICATES)
        self._postmaster = None
        self._pidfd = None
        # Volumes that outlive their shard can bring logins with older passwords: look once, when things have settled.
        self._passwords_due = time.monotonic() + 15.0

    def files_changed(self):
        write_patroni_settings()
        self._passwords_due = 0.0
        # Patroni writes the password for streaming anew when this file is not the one it left there.
        if os.path.exists(PASSFILE):
            os.utime(PASSFILE)

    def tick(self):
        self._watch_postmaster()
        self._check_passwords()
        self.helpers.tick()
        return () if self._pidfd is None else (self._pidfd,)

    def _watch_postmaster(self):
        if self._pidfd is not None and has_ended(self._pidfd):
            os.close(self._pidfd)
            self._pidfd = None
            in_background(wake_patroni)
        pid = read_postmaster_pid()
        if pid is None or pid == self._postmaster and self._pidfd is None:
            return
        if pid != self._postmaster:
            try:
                opened = os.pidfd_open(pid)
            except OSError:
                return
            if self._pidfd is not None:
                os.close(self._pidfd)
            self._postmaster, self._pidfd = pid, opened

    def _check_passwords(self):
        if self._passwords_due is None or time.monotonic() < self._passwords_due:
            return
        # Told through a file, because the check runs in a process of its own; by version, because a check that began before
        # the passwords changed can end after that.
        if read_file(AGREED) == passwords_version():
            self._passwords_due = None
            return
        self._passwords_due = time.monotonic() + 5.0
        in_background(agree_on_passwords)


def agree_on_passwords():
    version = passwords_version()
    wanted = {'postgres': read_password('superuser'), 'standby': read_password('replication')}
    if passwords.synchronize(SOCKETS, wanted):
        write_file(os.path.basename(AGREED), version)


def passwords_version():
    """The folder that the kubelet points `..data` at: a new one with every change."""
    return os.readlink(os.path.join(PASSWORDS, '..data'))


def read_file(path):
    try:
        with open(path, encoding='utf-8') as file:
            return file.read()
    except FileNotFoundError:
        return None


def read_postmaster_pid():
    try:
        with open(VOLUME + '/data/postmaster.pid', encoding='ascii') as file:
            return int(file.readline())
    except (OSError, ValueError):
        return None


def has_ended(pidfd):
    import select
    return bool(select.select((pidfd,), (), (), 0)[0])


def wake_patroni():
    """Any unsafe request makes Patroni run its loop at once; this one removes a key that is never there."""
    import base64
    import http.client
    import ssl
    context = ssl.create_default_context(cafile=CERTIFICATES + '/ca.crt')
    context.check_hostname = False
    token = base64.b64encode(f'operator:{read_password("rest")}'.encode()).decode()
    connection = http.client.HTTPSConnection('127.0.0.1', 8008, timeout=5, context=context)
    connection.request('PATCH', '/config', '{"shardwright_wake":null}', {'Authorization': f'Basic {token}'})
    log(f'postmaster ended, woke Patroni: {connection.getresponse().status}')


def database():
    os.umask(0o077)
    hold_volume()
    write_patroni_settings()
    watch = Database()
    folders = MountedFolders(SETTINGS, CERTIFICATES, PASSWORDS)
    return Supervisor(['/usr/bin/patroni', PATRONI], folders, watch.files_changed, watch.tick,
                      on_end=watch.helpers.ended, on_stop=watch.helpers.stop).run()


def pooler():
    # PgBouncer's own reaction to SIGTERM is to wait for the last client; SIGINT waits for running transactions only.
    return Supervisor(['/usr/sbin/pgbouncer', '-q', SETTINGS + '/pgbouncer.ini'],
                      MountedFolders(SETTINGS, CERTIFICATES), lambda: None, stop_signal=signal.SIGINT,
                      stop_seconds=5.0).run()


def job(name):
    """What a Job runs; a member need not keep it in memory."""
    return lambda: getattr(importlib.import_module(name), name)()


if __name__ == '__main__':
    programs = {'database': database, 'pooler': pooler,
                **{name: job(name) for name in ('backup', 'drill', 'recover', 'catalog')}}
    if len(sys.argv) == 2 and sys.argv[1] in programs:
        sys.exit(programs[sys.argv[1]]())
    # Anything else is run as it is: psql, pgbackrest, a shell.
    if len(sys.argv) > 1:
        os.execvp(sys.argv[1], sys.argv[1:])
    sys.exit(f'usage: member {" | member ".join(programs)} | member COMMAND...')
