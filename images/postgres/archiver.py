"""Keeps PostgreSQL's archiver going: after three failures it sleeps for a minute, unless it is told to read its settings again."""
import os
import signal
import time

from supervisor import log

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 15.0


class Archiver:
    def __init__(self, beside):
        self._beside = beside
        self._since = None
        self._again = 0.0
        self._delay = FIRST_SECONDS

    def seen(self, waits, moved, reachable):
        """`waits`: there is a segment for it; `moved`: another one than before."""
        now = time.monotonic()
        if not waits:
            self._since = None
            return
        if self._since is None or moved:
            self._since = now
            self._rest(now, FIRST_SECONDS)
        if not reachable:
            # Once the store is back, no time is to be lost.
            self._again, self._delay = now, FIRST_SECONDS
        elif now >= self._again:
            self._rest(now, min(self._delay * 2, LONGEST_SECONDS))
            self._wake()

    def waits(self):
        return self._since is not None

    def waits_longer_than(self, seconds):
        return self._since is not None and time.monotonic() - self._since > seconds

    def _rest(self, now, delay):
        self._again, self._delay = now + delay, delay

    def _wake(self):
        try:
            process = self._beside.archiver()
            if process:
                os.kill(process, signal.SIGHUP)
        except Exception as error:  # the server is going, and its archiver with it
            log(f'meter: {str(error).strip()}')
