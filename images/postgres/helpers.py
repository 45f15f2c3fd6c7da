"""Programs that run beside Patroni while the shard has a repository: pgBackRest's server on every member, for backups to read
from, and the meter where the member is primary. They come, go and read their files again with the mounted Secret; one that dies is
started again, later each time."""
import os
import signal
import subprocess
import time

import pgbackrest
from supervisor import MountedFolders, log

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
# Whoever ran for this long is well; its next failure is a first one.
WELL_SECONDS = 60.0
PATIENCE_SECONDS = 5.0


class Helper:
    def __init__(self, name, command):
        self._name = name
        self._command = command
        self._child = None
        self._started = 0.0
        self._again = 0.0
        self._delay = FIRST_DELAY
        self._kill_at = None

    def tick(self, wanted):
        now = time.monotonic()
        if self._child is None:
            if wanted and now >= self._again:
                log(f'starting {self._name}')
                self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
                self._started = now
        elif not wanted and self._kill_at is None:
            log(f'stopping {self._name}')
            self._child.terminate()
            self._kill_at = now + PATIENCE_SECONDS
        elif self._kill_at is not None and now > self._kill_at:
            self._child.kill()

    def reload(self):
        if self._child is not None:
            self._child.send_signal(signal.SIGHUP)

    def ended(self, pid, code):
        if self._child is None or pid != self._child.pid:
            return
        # The supervisor has reaped it; nobody else must wait for that number.
        self._child.returncode = code
        self._child = None
        now = time.monotonic()
        if self._kill_at is not None or code == 0 or now - self._started > WELL_SECONDS:
            self._delay = FIRST_DELAY
        else:
            self._delay = min(self._delay * 2, LONGEST_DELAY)
        self._again = now + self._delay
        self._kill_at = None
        log(f'{self._name} ended: {code}')


class Helpers:
    def __init__(self, data, certificates):
        self._data = data
        self._folders = MountedFolders(pgbackrest.REPOSITORY, certificates)
        self._server = Helper("pgBackRest's server", ['/usr/bin/pgbackrest', 'server'])
        self._meter = Helper('the meter', ['/usr/bin/python3', '-s', '/opt/member/meter.py'])
        self._stopping = False

    def tick(self):
        if self._folders.changed():
            self._server.reload()
            self._meter.reload()
        bound = pgbackrest.is_bound() and not self._stopping
        self._server.tick(bound)
        self._meter.tick(bound and self._is_primary())

    def ended(self, pid, code):
        self._server.ended(pid, code)
        self._meter.ended(pid, code)

    def stop(self):
        """The server's own last act is to archive what it has; nothing here is needed for that."""
        self._stopping = True

    def _is_primary(self):
        """Good enough to begin: the meter asks the server itself."""
        here = lambda name: os.path.exists(f'{self._data}/{name}')
        return here('postmaster.pid') and not here('standby.signal') and not here('recovery.signal')
