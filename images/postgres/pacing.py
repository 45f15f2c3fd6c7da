"""How fast a copy may go. Pure: time is an argument, so that tests can make it up.

`Bucket` keeps a number of bytes a second; `next_allowed` lowers that number while the source is under strain and raises it
again when it is not."""
import threading

# However great the strain, a copy goes on: one that stands still holds its snapshot for ever.
FLOOR = 64 * 1024.0
# Bytes that may go at once after a pause, in seconds of the allowed speed.
BURST_SECONDS = 0.25
SMALLEST_BURST = 64 * 1024.0


class Bucket:
    """Shared by all that copy. `spend` says for how long whoever has read these bytes has to wait; none is refused."""

    def __init__(self, now, rate=None):
        self._lock = threading.Lock()
        self._rate = rate
        self._left = self._burst()
        self._at = now
        self._spent = 0

    def allow(self, now, rate):
        """Bytes a second from now on; None: as many as there are."""
        with self._lock:
            self._fill(now)
            self._rate = rate
            self._left = min(self._left, self._burst())

    def spend(self, now, count):
        """Seconds to wait before more is read. Ask `due` when they are over: the speed may have changed."""
        with self._lock:
            self._fill(now)
            self._spent += count
            if self._rate is not None:
                self._left -= count
            return self._due()

    def due(self, now):
        with self._lock:
            self._fill(now)
            return self._due()

    def spent(self):
        """Bytes since it was made."""
        with self._lock:
            return self._spent

    def _due(self):
        return 0.0 if self._rate is None or self._left >= 0 else -self._left / self._rate

    def _fill(self, now):
        if self._rate is None:
            self._left = 0.0
        else:
            self._left = min(self._burst(), self._left + (now - self._at) * self._rate)
        self._at = max(self._at, now)

    def _burst(self):
        return 0.0 if self._rate is None else max(SMALLEST_BURST, self._rate * BURST_SECONDS)


def is_strained(pace, lag, latency):
    """`lag`: bytes that the slowest replica of the source is behind; `latency`: of a commit there, in ms. None: not known."""
    return (lag is not None and lag > pace['maxReplicaLagBytes']) or (
        latency is not None and latency > pace['maxCommitLatencyMs'])


def next_allowed(allowed, limit, measured, strained):
    """Called once a second. `allowed`, `limit`: bytes a second or None for no bound; `measured`: what it really was. Halves what
    flows while there is strain, and goes up again by a quarter."""
    if strained:
        flows = min(value for value in (allowed, limit, measured) if value is not None)
        return max(min(FLOOR, limit or FLOOR), flows / 2)
    if allowed is None or (limit is not None and allowed >= limit):
        return limit
    raised = allowed * 1.25
    if limit is not None:
        return min(limit, raised)
    # Something else is what slows it down: the bound has become idle.
    return None if raised > 4 * measured and measured > FLOOR else raised
