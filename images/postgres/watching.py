"""What keeps a meter waiting, in threads of its own, so that its samples never do: the object store and the API server."""
import os
import signal
import threading
import time

import looking
import pgbackrest
import server
import store
from supervisor import log

STATE = '/tmp/archive'
UNREACHABLE = STATE + '/unreachable'
FAILED_SECONDS = 5.0
DOUBT_SECONDS = 10.0


class Watching(threading.Thread):
    """Whatever waits for the store, so that sampling never does: looks into the archive, and whether the store answers."""

    def __init__(self, stanza):
        super().__init__(daemon=True)
        self._look = looking.Look(stanza)
        self._beside = server.Server()
        self._due = 0.0
        self._progress = False
        self._doubts = False
        self._doubt_again = 0.0
        self.suspicious = False
        self.findings = []
        self.unreachable = None
        self.failure = None
        self.looked = False

    def progress(self):
        """More was archived: worth another look when its time has come."""
        self._progress = True

    def doubt(self):
        """The archiver is refused: ask again whether what was there once is still there, and may still be asked for."""
        self._doubts = True

    def run(self):
        while True:
            try:
                self._turn()
            except Exception as error:  # a full /tmp, say: whoever watches must not be the first to go
                log(f'meter: {type(error).__name__}: {error}')
            time.sleep(0.5 if self.unreachable is None else 1.0)

    def _turn(self):
        if self._doubts and time.monotonic() >= self._doubt_again:
            self._doubts = False
            self._doubt_again = time.monotonic() + DOUBT_SECONDS
            self._look.doubt()
            self._progress, self._due = True, 0.0
        if self.suspicious or self.unreachable is not None:
            self._probe()
        if time.monotonic() >= self._due and (self._progress or self._due == 0.0 or self.failure is not None):
            self._take()

    def _probe(self):
        self.unreachable = store.unreachable()
        if self.unreachable is None:
            remove(UNREACHABLE)
            return
        os.makedirs(STATE, exist_ok=True)
        with open(UNREACHABLE, 'w', encoding='utf-8') as file:
            file.write(self.unreachable + '\n')
        end_attempt()

    def _take(self):
        self._probe()
        if self.unreachable is not None:
            self.failure, self.looked = self.unreachable, True
            return
        self._progress = False
        try:
            finding = self._look.take(self._beside)
            self.findings.append(finding)
            self.failure = finding.failure
            self._due = time.monotonic() + finding.again
            self._progress = finding.continuity != 'Verified'
        except pgbackrest.Failed as failed:
            self.failure = str(failed)
            self._due = time.monotonic() + FAILED_SECONDS
        except Exception as error:  # the server is gone or stops: sampling says so, and we ask again
            log(f'meter: {type(error).__name__}: {str(error).strip()}')
            self._due = time.monotonic() + 1.0
            self._progress = True
        self.looked = True


class Telling(threading.Thread):
    """Delivers the newest report; what the API server keeps us waiting for must not stop the samples."""

    def __init__(self):
        super().__init__(daemon=True)
        self._wake = threading.Event()
        self._report = None

    def tell(self, report):
        self._report = report
        self._wake.set()

    def run(self):
        from report import write_report
        while True:
            self._wake.wait()
            self._wake.clear()
            try:
                write_report(self._report)
            except Exception as error:  # told again with the next report, which is never far
                log(f'meter: the report was not delivered: {error}')
                time.sleep(1.0)
                self._wake.set()


def end_attempt():
    """pgBackRest would go on trying for long after the store is back."""
    try:
        with open(STATE + '/pid', encoding='ascii') as file:
            process = int(file.read())
        with open(f'/proc/{process}/comm', encoding='ascii') as file:
            if file.read().strip() == 'pgbackrest':
                os.kill(process, signal.SIGTERM)
    except (OSError, ValueError):
        return


def remove(path):
    try:
        os.remove(path)
    except FileNotFoundError:
        return
