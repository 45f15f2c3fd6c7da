"""`member meter`: runs beside a primary that has a repository. Takes a sample of the server every second, ends segments whose
commits grow too old, follows what the archiver has done, and tells how old the oldest commit is that the loss of this shard would
lose. See the decision on backups for why that is an upper bound."""
import hashlib
import math
import os
import select
import signal
import sys
import time
from datetime import datetime, timezone

import archiver
import metering
import pgbackrest
import server
import wal
import watching
from supervisor import log
from watching import STATE, remove

TICK_SECONDS = 1.0
# While a segment is on its way, its arrival is looked for more often: it costs the look at one file.
ARRIVAL_SECONDS = 0.2
# A segment that takes longer makes us ask whether the store can be reached at all.
SUSPICIOUS_SECONDS = 2.0


class Metering:
    def __init__(self, policy):
        self._policy = policy
        self._beside = server.Server()
        self._watching = watching.Watching(policy['stanza'])
        self._telling = watching.Telling()
        self._reporting = metering.Reporting()
        self._meter = None
        self._finding = None
        self._number = self._counted = None
        self._place = 0
        self._sampled = None
        self._transfer = None
        self._objects = self._bytes = 0
        self._archiver = archiver.Archiver(self._beside)
        self._began = time.monotonic()

    def start(self):
        remove(watching.UNREACHABLE)
        remove(STATE + '/failed')
        self._watching.start()
        self._telling.start()

    def set_policy(self, policy):
        self._policy = policy
        if self._meter is not None:
            self._meter.objective = policy['rpoSeconds']

    def tick(self, sampling):
        self._take_findings()
        self._follow()
        if sampling:
            self._sample()
            self._tell()
        return self._archiver.waits()

    def _take_findings(self):
        while self._watching.findings:
            finding = self._watching.findings.pop(0)
            self._bytes += finding.bytes
            before, self._finding = self._finding, finding
            if self._meter is None:
                self._meter = metering.Meter(finding.segments, self._policy['rpoSeconds'], finding.since)
            # What was archived during the look is known better here, unless the look found that it is not so.
            if before is None or finding.gap or before.gap:
                self._number = finding.archived // finding.segments.size
                self._counted = max(self._counted or 0, self._number)
                self._meter.archived_to(finding.archived)
            if before is None or finding.gap or before.continuity != finding.continuity:
                self._meter.looked(finding.since, finding.sample)

    def _follow(self):
        """What the archiver marks as done is stored; whether it stays stored, looks tell."""
        if self._finding is None:
            return
        segments, lineage = self._finding.segments, self._finding.lineage
        moved = False
        while True:
            name = segments.name(lineage.timeline_of(segments, self._number), self._number)
            if self._finding.failure is not None or not self._is_archived(name):
                break
            self._number += 1
            self._objects += self._number > self._counted
            self._counted = max(self._counted, self._number)
            moved = True
        if moved:
            self._meter.archived_to(segments.start(self._number))
            self._watching.progress()
            self._read_transfer()
        self._archiver.seen(server.is_waiting(name), moved, self._watching.unreachable is None)
        self._watching.suspicious = self._archiver.waits_longer_than(SUSPICIOUS_SECONDS)
        if self._archiver.waits() and os.path.exists(STATE + '/failed'):
            self._watching.doubt()

    def _is_archived(self, name):
        if server.is_archived(name):
            return True
        # The mark goes with the file, and the file only once it is marked. The one being written may not be there yet.
        written = self._number < self._place // self._finding.segments.size
        return written and not server.is_waiting(name) and not server.is_here(name)

    def _read_transfer(self):
        try:
            with open(STATE + '/pushed', encoding='ascii') as file:
                _, begun, ended = file.read().split()
            self._transfer = max(float(ended) - float(begun), 0.0)
        except (OSError, ValueError):
            return

    def _sample(self):
        self._sampled = None
        try:
            moment, snapshot, place = self._beside.sample()
            self._sampled, self._place = moment, place
            if self._meter is None:
                return
            self._meter.sample(moment, snapshot, place)
            if self._meter.should_switch(time.monotonic(), self._transfer or 0.0):
                self._meter.switched(self._beside.end_segment())
        except server.NotPrimary:
            raise
        except Exception as error:  # no sample is an answer too: age grows
            log(f'meter: no sample: {str(error).strip()}')

    def _tell(self):
        # What is told holds for the moment of the sample: what was committed while it was taken may not be in it.
        now = time.monotonic() if self._sampled is None else self._sampled
        if not self._watching.looked and now - self._began < 10.0:
            return
        report = self._report(now)
        state = (report['continuity'], report.get('failure'), report['settingsVersion'],
                 report['rpoSeconds'] > self._policy['rpoSeconds'])
        if self._reporting.is_due(now, state):
            self._reporting.told(now, state)
            self._telling.tell(report)

    def _report(self, now):
        report = {
            'kind': 'Archive',
            'at': wall_clock(now),
            'settingsVersion': self._policy['version'],
            'continuity': 'Unverified' if self._finding is None else self._finding.continuity,
            'objects': self._objects,
            'bytes': self._bytes,
        }
        if self._meter is None:
            # Nothing could be looked at: as far as we know nothing is stored.
            timeline, made = self._identity()
            report.update(rpoSeconds=rounded(now - made), timeline=timeline)
        else:
            # Without a backup there is nothing to restore, whatever is archived.
            age = self._meter.age(now) if self._finding.has_backup else now - self._finding.since
            report.update(rpoSeconds=rounded(age), timeline=self._finding.lineage.timeline,
                          archivedTo=wal.position_text(self._finding.segments.start(self._number)))
        if self._transfer is not None:
            report['transferSeconds'] = round(self._transfer, 3)
        failure = self._failure()
        if failure:
            report['failure'] = failure
        return report

    def _identity(self):
        try:
            return self._beside.identity()[1:]
        except server.NotPrimary:
            raise
        except Exception:  # no session: it is as old as we know
            return 0, self._began

    def _failure(self):
        if self._watching.unreachable is not None:
            return self._watching.unreachable
        if self._watching.failure is not None:
            return self._watching.failure
        try:
            with open(STATE + '/failed', encoding='utf-8', errors='replace') as file:
                return pgbackrest.explain(file.read(), pgbackrest.secrets())
        except OSError:
            return None


def wall_clock(moment):
    at = datetime.fromtimestamp(time.time() - (time.monotonic() - moment), timezone.utc)
    return at.isoformat(timespec='milliseconds').replace('+00:00', 'Z')


def rounded(seconds):
    """An upper bound stays one."""
    return math.ceil(seconds * 10) / 10


def repository():
    """Changes when the repository is another one."""
    with open(pgbackrest.REPOSITORY + '/pgbackrest.conf', 'rb') as file:
        return hashlib.sha256(file.read()).digest()


def main():
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: None)
    bound = repository()
    meter = Metering(pgbackrest.policy())
    meter.start()
    due = time.monotonic()
    try:
        while True:
            sampling = time.monotonic() >= due
            if sampling:
                due = max(due + TICK_SECONDS, time.monotonic())
            arriving = meter.tick(sampling)
            wait = max(due - time.monotonic(), 0.0)
            ready, _, _ = select.select((read_end,), (), (), min(wait, ARRIVAL_SECONDS) if arriving else wait)
            if not ready:
                continue
            if any(number != signal.SIGHUP for number in os.read(read_end, 256)):
                return 0
            if not pgbackrest.is_bound() or repository() != bound:
                return 0
            meter.set_policy(pgbackrest.policy())
    except server.NotPrimary:
        return 0


if __name__ == '__main__':
    sys.exit(main())
