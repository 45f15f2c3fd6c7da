"""What the programs of a Job have in common: their task from the environment, an end that is always told - also when they are
stopped or time is up - and children that are ended with them."""
import json
import os
import signal
import subprocess
import tempfile
import time
from datetime import datetime, timezone

import report
from supervisor import log

# The grace of a stopped pod is 30 s: for what it runs to end, and for the last word to arrive.
STOP_SECONDS = 15.0
LAST_WORD_SECONDS = 10.0
# Without being stopped there is more time: a report that does not arrive makes the work worthless.
FINAL_SECONDS = 300.0
REPORT_SECONDS = 3.0


class Stopped(Exception):
    """Told to stop, or time is up."""


class Failure(Exception):
    """The cause in one line."""


class Task:
    def __init__(self):
        self.began = time.monotonic()
        self.input = json.loads(os.environ['TASK'])
        self.stopped = False
        self._deadline = float(os.environ['DEADLINE_SECONDS'])
        self._reported = None
        self._due = 0.0
        signal.signal(signal.SIGTERM, lambda *_: self._stop('it was stopped before it had ended'))
        signal.signal(signal.SIGALRM, lambda *_: self._stop(f'it did not end within {self._deadline:.0f} s'))
        signal.setitimer(signal.ITIMER_REAL, self._deadline)

    def left(self):
        """Seconds until time is up."""
        return max(0.0, self._deadline - (time.monotonic() - self.began))

    def _stop(self, why):
        # Once: what is done about the first must not be interrupted by a second.
        if not self.stopped:
            self.stopped = True
            raise Stopped(why)

    def tell(self, words):
        """News of what is going on; no more often than anybody looks, and none if it cannot be delivered."""
        now = time.monotonic()
        if words == self._reported or now < self._due:
            return
        self._due = now + REPORT_SECONDS
        if self._deliver(words):
            self._reported = words

    def conclude(self, words):
        """The last report, tried again until it has arrived or there is no more time."""
        self.stopped, was_stopped = True, self.stopped
        until = time.monotonic() + (LAST_WORD_SECONDS if was_stopped else min(FINAL_SECONDS, self.left() + LAST_WORD_SECONDS))
        log(json.dumps(words))
        while not self._deliver(words):
            if time.monotonic() > until:
                log('the report could not be delivered')
                return
            time.sleep(1.0)

    def _deliver(self, words):
        try:
            report.write_report({**words, 'request': self.input['request'], 'at': now_text()})
            return True
        except Exception as error:  # pylint: disable=broad-except  # whatever hinders it, the work itself goes on
            log(f'reporting: {error}')
            return False


class Child:
    """A program that ends with its `with`: asked to at first, then made to. What it says on standard error is kept."""

    def __init__(self, command, stop_signal=signal.SIGTERM, **options):
        self._said = tempfile.TemporaryFile()
        self._stop_signal = stop_signal
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=self._said, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._said.close()

    def ended(self, within):
        """The exit status, or None when it still runs after so many seconds."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            return None

    def said(self):
        # Not the descriptor's own position: the child writes at the same one.
        size = os.fstat(self._said.fileno()).st_size
        start = max(0, size - 65536)
        return os.pread(self._said.fileno(), size - start, start).decode(errors='replace')


def now_text():
    return time_text(time.time())


def time_text(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3] + 'Z'


def seconds_of(text):
    """A time in RFC 3339 as seconds of the epoch."""
    return datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp()
