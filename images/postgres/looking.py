"""Looks into the archive: does it hold every segment that a restore of the newest backup to the present needs? What is missing
there and still here is handed to the archiver again - a standby marks what it received as archived, and its primary may have
died before it archived it."""
import time

import pgbackrest
import server
import wal

# How long until the next look, in seconds.
AGAIN = {'Verified': 60.0, 'Unverified': 5.0, 'Broken': 5.0}
MENDING_SECONDS = 1.0
EVERYTHING_SECONDS = 3600.0


class Finding:
    """`archived`: the archive has all before this position; with `gap`, it has some after it too. `since`: no commit before this
    moment can be lost; with `sample`, none lies between `archived` and the sample at all. `failure` where somebody must do
    something."""

    def __init__(self, continuity, archived, since, sample=None, failure=None, added=0, again=None, lineage=None,
                 segments=None, gap=False, has_backup=True):
        self.gap = gap
        self.has_backup = has_backup
        self.continuity = continuity
        self.archived = archived
        self.since = since
        self.sample = sample
        self.failure = failure
        self.bytes = added
        self.again = AGAIN[continuity] if again is None else again
        self.lineage = lineage
        self.segments = segments


class Look:
    """One tenure of one primary: a timeline does not change under it."""

    def __init__(self, stanza):
        self._stanza = stanza
        self._created = False
        self._backup = None
        self._archive = None
        self._verified = None
        self._counted = None
        self._everything_due = 0.0

    def doubt(self):
        """Forgets what was seen of the archive."""
        self._created = False
        self._verified = None

    def take(self, beside):
        """`beside`: a session with the server. Raises pgbackrest.Failed, and what the session raises."""
        size, timeline, made = beside.identity()
        segments, lineage = wal.Segments(size), server.lineage(timeline)
        sample = beside.sample()
        self._ask(lineage)
        # Only what is flushed: until then a segment is neither complete nor marked, and must not be taken for a gap. What is
        # handed in while the archive is listed is in neither list.
        flushed = beside.flushed()
        end = min([segments.number(name) for name in server.waiting()] + [flushed // size])
        if self._counted is None:
            self._counted = end
        if self._backup is None:
            added = self._list(segments, lineage, self._counted, end)[1]
            return Finding('Unverified', segments.start(end), made, added=added, lineage=lineage, segments=segments,
                           has_backup=False)
        first = self._backup.first(segments)
        begin = first if self._verified is None else max(first, self._verified)
        missing, added = self._list(segments, lineage, begin, end)
        finding = self._judge(segments, lineage, missing, end, added)
        self._since(finding, beside, sample)
        return finding

    def _ask(self, lineage):
        if not self._created:
            pgbackrest.run(self._stanza, 'stanza-create')
            self._created = True
        if self._verified is not None and time.monotonic() < self._everything_due:
            return
        answer = pgbackrest.ask(self._stanza, 'info')[0]
        database = answer['db'][-1]
        self._archive = f'archive/{self._stanza}/{database["version"]}-{database["id"]}'
        good = [Backup(each) for each in answer['backup']
                if not each.get('error') and each['database']['id'] == database['id']]
        fitting = [each for each in good if lineage.holds(each.timeline, each.stopped_at)]
        self._backup = fitting[-1] if fitting else None
        self._verified = None
        self._everything_due = time.monotonic() + EVERYTHING_SECONDS

    def _list(self, segments, lineage, begin, end):
        """Names that are missing, and the bytes of those that were not counted yet."""
        names = wal.needed(segments, lineage, begin, end)
        stored = {}
        for folder in wal.folders(names):
            for name, entry in pgbackrest.ask(self._stanza, 'repo-ls', f'{self._archive}/{folder}').items():
                if entry['type'] == 'file' and wal.is_segment(name[:24]) and name[24:25] == '-':
                    stored[name[:24]] = entry['size']
        added = sum(size for name, size in stored.items()
                    if name in names and segments.number(name) >= self._counted)
        self._counted = max(self._counted, end)
        missing = [name for name in names if name not in stored]
        if self._backup is not None and (later := lineage.later_than(self._backup.timeline)):
            here = pgbackrest.ask(self._stanza, 'repo-ls', self._archive)
            missing = [name for each in later if (name := f'{each:08X}.history') not in here] + missing
        return missing, added

    def _judge(self, segments, lineage, missing, end, added):
        more = {'added': added, 'lineage': lineage, 'segments': segments}
        if not missing:
            self._verified = end
            return Finding('Verified', segments.start(end), None, **more)
        self._verified = None
        holes = [segments.number(name) for name in missing if wal.is_segment(name)]
        archived = segments.start(min(holes) if holes else self._backup.first(segments))
        lost = [name for name in missing if not server.hand_in(name)]
        if not lost:
            return Finding('Unverified', archived, None, again=MENDING_SECONDS, gap=True, **more)
        # A backup that begins after it needs it no more.
        failure = f'{len(lost)} of the write-ahead log is missing in the archive and not here any more, {lost[0]} first'
        return Finding('Broken', archived, None, failure=failure, gap=True, **more)

    def _since(self, finding, beside, sample):
        """Nothing older than the oldest commit that is not in the archive can be lost."""
        backup = self._backup.started_moment()
        if finding.continuity == 'Broken':
            finding.since = backup
            return
        deadline = time.monotonic() + 3.0
        while beside.flushed() < sample[2]:
            if time.monotonic() > deadline:
                finding.since = backup
                return
            time.sleep(0.05)
        try:
            found = server.oldest_commit(finding.lineage.legs(finding.archived, sample[2]))
        except LookupError:
            finding.since = backup
            return
        if found is None:
            finding.since, finding.sample = sample[0], sample
        else:
            finding.since = max(server.moment_of(found), backup)


class Backup:
    def __init__(self, answer):
        self._first = answer['archive']['start']
        self.timeline = int(answer['archive']['stop'][:8], 16)
        self.stopped_at = wal.position(answer['lsn']['stop'])
        self._started = answer['timestamp']['start']

    def first(self, segments):
        return segments.number(self._first)

    def started_moment(self):
        return server.moment_of(self._started)
