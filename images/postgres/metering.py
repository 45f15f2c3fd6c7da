"""How old is the oldest commit that the loss of this shard would lose? Pure: samples in, an upper bound out.

A sample is a moment, the snapshot then (which transactions had ended) and a position of the log read after it: every commit that
the snapshot shows lies before that position. Once the archive reaches it, the sample is covered, and what could be lost was
committed after that moment. Two equal snapshots have no commit between them, whatever the log did meanwhile."""

# A server that does not answer may yet commit; its last snapshot then says nothing any more.
STALE_SECONDS = 5.0
REPORT_SECONDS = 5.0


class Run:
    """Samples with one snapshot: when the last was taken, and the position of the first. `began`: when the first was, or that of
    those whose segment it shares."""

    def __init__(self, moment, snapshot, place):
        self.began = moment
        self.moment = moment
        self.snapshot = snapshot
        self.place = place


class Meter:
    """`since`: a moment before which no commit can be lost, whatever the samples say. All moments are of one steady clock."""

    def __init__(self, segments, objective, since):
        self.objective = objective
        self._segments = segments
        self._since = since
        self._covered = None
        self._waiting = []
        self._archived = 0
        self._switched = None
        self._latest = None

    def sample(self, moment, snapshot, place):
        self._latest = moment
        last = self._waiting[-1] if self._waiting else self._covered
        if last is not None and last.snapshot == snapshot:
            last.moment = moment
            return
        run = Run(moment, snapshot, place)
        # The archive grows by whole segments: of all that lie in one, the last is the best.
        if self._waiting and self._holding(self._waiting[-1]) == self._holding(run):
            # The commits of those before it wait as well, since then.
            run.began = self._waiting[-1].began
            self._waiting[-1] = run
        else:
            self._waiting.append(run)
        self._cover()

    def archived_to(self, place):
        """`place`: the archive has all before it, without a gap. It can go back, when a gap is found."""
        if place < self._archived:
            self._covered = None
        self._archived = place
        self._cover()

    def looked(self, since, sample=None):
        """Somebody looked into the log beyond the archive's end: no commit older than `since` can be lost. With a sample
        (moment, snapshot, place), no commit lies between the archive's end and that place at all."""
        self._since = since
        if sample is not None:
            moment, snapshot, place = sample
            if self._covered is None or self._covered.moment < moment:
                self._covered = Run(moment, snapshot, place)
            self._waiting = [run for run in self._waiting if run.place > place]

    def _cover(self):
        while self._waiting and self._waiting[0].place <= self._archived:
            self._covered = self._waiting.pop(0)

    def _holding(self, run):
        return self._segments.holding(run.place)

    def age(self, now):
        """Seconds, an upper bound; 0 when nothing would be lost."""
        fresh = self._latest is not None and now - self._latest <= STALE_SECONDS
        if self._covered is not None and not self._waiting and fresh:
            return 0.0
        since = self._since if self._covered is None else max(self._since, self._covered.moment)
        return max(now - since, 0.0)

    def should_switch(self, now, transfer_seconds):
        """Whether to end the segment: what is in it grows too old. Never while another is on its way, or while the archive
        takes none: each would fill the volume with one more."""
        if not self._waiting or self._in_flight():
            return False
        oldest = self._waiting[0].began if self._covered is None else self._covered.moment
        return now - oldest >= max(self.objective / 2 - transfer_seconds, self.objective / 8)

    def switched(self, place):
        self._switched = self._segments.holding(place)

    def _in_flight(self):
        first = self._archived // self._segments.size
        if self._archived == 0:
            return True
        if self._switched is not None and self._switched >= first:
            return True
        return self._holding(self._waiting[-1]) > first

    def late(self, now):
        return self.age(now) > self.objective


class Reporting:
    """When to tell: regularly, and at once when it turns bad or good."""

    def __init__(self):
        self._told = None
        self._due = 0.0

    def is_due(self, now, state):
        return now >= self._due or state != self._told

    def told(self, now, state):
        # A little early, so that it is this second's sample and not the next one's.
        self._due = now + REPORT_SECONDS - 0.5
        self._told = state
