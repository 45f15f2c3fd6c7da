"""First process of a container: runs one program, passes signals on, reaps what is left behind, and makes the program
read its files again when Kubernetes has swapped a mounted volume (certificates, settings, passwords)."""
import os
import select
import signal
import subprocess
import sys
import time


def log(message):
    print(time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime()), 'member:', message, flush=True)


class MountedFolders:
    """Kubernetes swaps a mounted Secret or ConfigMap by renaming the link `..data`: its target names the version."""

    def __init__(self, *paths):
        self._paths = paths
        self._seen = self._versions()

    def changed(self):
        now = self._versions()
        if now == self._seen:
            return False
        self._seen = now
        return True

    def _versions(self):
        return [self._version(path) for path in self._paths]

    @staticmethod
    def _version(path):
        try:
            return os.readlink(os.path.join(path, '..data'))
        except OSError:
            return None


class Supervisor:
    """`stop_signal` is what SIGTERM becomes; after `stop_seconds` the program gets `last_signal`.
    `tick` runs every second and returns file descriptors that should wake it early; `on_end` hears of other children,
    `on_stop` that this is to end."""

    def __init__(self, command, folders, on_change, tick=lambda: (), stop_signal=signal.SIGTERM,
                 stop_seconds=None, last_signal=signal.SIGQUIT, on_end=lambda pid, code: None, on_stop=lambda: None):
        self._on_end = on_end
        self._on_stop = on_stop
        self._command = command
        self._folders = folders
        self._on_change = on_change
        self._tick = tick
        self._stop_signal = stop_signal
        self._stop_seconds = stop_seconds
        self._last_signal = last_signal
        self._stop_at = None
        self._again_at = None

    def run(self):
        read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(name, lambda *_: None)
        child = subprocess.Popen(self._command)
        while True:
            extra = tuple(self._tick())
            ready, _, _ = select.select((read_end, *extra), (), (), 1.0)
            if read_end in ready:
                for number in os.read(read_end, 256):
                    self._pass_on(child, number)
            status = self._reap(child)
            if status is not None:
                return status
            if self._folders.changed():
                log('mounted files changed, reloading')
                self._on_change()
                child.send_signal(signal.SIGHUP)
                # Patroni overlooks a new certificate when its settings have changed as well.
                self._again_at = time.monotonic() + 10.0
            if self._again_at is not None and time.monotonic() > self._again_at:
                child.send_signal(signal.SIGHUP)
                self._again_at = None
            if self._stop_at is not None and time.monotonic() > self._stop_at:
                child.send_signal(self._last_signal)
                self._stop_at = None

    def _pass_on(self, child, number):
        if number in (signal.SIGTERM, signal.SIGINT):
            log('stopping')
            self._on_stop()
            child.send_signal(self._stop_signal)
            if self._stop_seconds is not None:
                self._stop_at = time.monotonic() + self._stop_seconds
        elif number == signal.SIGHUP:
            child.send_signal(signal.SIGHUP)

    def _reap(self, child):
        """As the first process we inherit orphans. Returns the exit status once the program itself has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if pid == 0:
                return None
            if pid == child.pid:
                code = os.waitstatus_to_exitcode(status)
                log(f'program ended: {code}')
                return code if code >= 0 else 128 - code
            self._on_end(pid, os.waitstatus_to_exitcode(status))


def in_background(work):
    """Runs `work` in a forked process, so that what it imports does not stay in memory. Its failure is only logged."""
    if os.fork() == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # a forked child must never return into the supervisor's loop
            log(f'{work.__name__}: {error}')
            sys.stdout.flush()
            os._exit(1)
