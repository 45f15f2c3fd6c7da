"""`member drill`: brings a shard back from the object store alone, on an empty volume, and proves that what came back is right.
The server that is started speaks to nobody but this program, archives nothing and subscribes to nothing."""
import os
import shutil
import sys
import time

import pgbackrest
import report
import wal
from archive import Archive
from repository import IO_SECONDS, existing
from restored import DATA, Restored, controls
from supervisor import log
from task import Child, Failure, Stopped, Task, seconds_of

VOLUME = '/var/lib/postgresql'
# Longest that the live shard may take to archive what the drill looks for, and how much of the deadline is not for waiting.
WAIT_SECONDS = 120.0
SPARE_SECONDS = 10.0


class Drill:
    def __init__(self, task):
        self._task = task
        self._stanza = pgbackrest.policy()['stanza']
        self._target = task.input.get('target')
        self._mark, self._marked = split_mark(task.input.get('mark'))
        self._newest = None
        self.words = {'kind': 'Drill', 'state': 'Running', 'steps': [], 'checks': []}

    def run(self):
        self._step('Start', since_creation())
        self._timed('Fetch', self._fetch)
        self._wait()
        with Restored(self._task.input['database']) as server:
            self._timed('Recover', lambda: self._recover(server))
            self.words['rtoSeconds'] = round(sum(step['seconds'] for step in self.words['steps']), 3)
            self._timed('Check', lambda: self._check(server))

    def _timed(self, name, work):
        began = time.monotonic()
        work()
        self._step(name, time.monotonic() - began)

    def _step(self, name, seconds):
        self.words['steps'] = [*self.words['steps'], {'name': name, 'seconds': round(seconds, 3)}]
        self._task.tell(dict(self.words))

    def _fetch(self):
        if not existing(self._stanza):
            raise Failure('there is no backup to restore')
        goal = ['--type=default'] if self._target is None else [
            '--type=lsn', f'--target={self._target}', '--target-exclusive', '--target-action=promote']
        command = ['pgbackrest', f'--stanza={self._stanza}', '--archive-mode=off', '--process-max=2',
                   # What is missing will be missing in a quarter of a minute too.
                   '--job-retry=1', '--log-level-console=info', f'--io-timeout={IO_SECONDS}', *goal, 'restore']
        with Child(command) as child:
            if child.ended(None) != 0:
                raise Failure('restoring failed: ' + pgbackrest.explain(child.said(), pgbackrest.secrets()))
        self.words['bytes'] = sum(os.path.getsize(os.path.join(folder, name))
                                  for folder, _, names in os.walk(DATA) for name in names)

    def _wait(self):
        """Until the archive holds what is looked for: the live shard's promise, not this restore's."""
        archive = Archive(self._stanza, wal.Segments(int(controls()['Bytes per WAL segment'])))
        # A recovery stops before the first record at its target or behind: that one is needed too.
        wanted = [] if self._target is None else [archive.segments.holding(wal.position(self._target) + 1)]
        if self._marked is not None:
            wanted.append(archive.segments.holding(self._marked))
        until = time.monotonic() + min(WAIT_SECONDS, self._task.left() - SPARE_SECONDS)
        while True:
            self._newest = archive.newest()
            if self._newest is not None and archive.segments.number(self._newest) >= max(wanted, default=0):
                break
            if time.monotonic() > until:
                raise Failure(f'the archive does not reach what the live shard had written when the drill began: its newest '
                              f'segment is {self._newest}')
            time.sleep(1.0)
        self._segments = archive.segments
        if self._marked is not None:
            stored = archive.stored_at(archive.segments.holding(self._marked))
            if stored is not None:
                # The store's times are whole seconds.
                self.words['rpoSeconds'] = round(max(0.0, stored + 1.0 - seconds_of(self._mark.split('_')[0])), 3)

    def _recover(self, server):
        why = server.start(self._task.left())
        if why is not None:
            raise Failure(why)

    def _check(self, server):
        self._add('Archive', self._check_end(server))
        if self._mark is not None:
            self._add('Mark', self._check_mark(server))
        if 'contents' in self._task.input:
            self._add('Contents', self._check_contents(server))
        self._add('Structure', server.check_structure())
        checksums = server.stop_and_check_pages()
        if checksums is not None:
            self._add('Checksums', checksums)

    def _add(self, name, result):
        passed, message = result
        log(f'check {name}: {"passed" if passed else "FAILED"}: {message}')
        self.words['checks'] = [*self.words['checks'], {'name': name, 'passed': passed, 'message': message}]
        self._task.tell(dict(self.words))

    def _check_end(self, server):
        """PostgreSQL takes the first segment that it is not given for the end of the archive, and is content."""
        timeline, end = server.recovered_to()
        where = f'recovered to {wal.position_text(end)} on timeline {timeline}'
        if self._target is not None:
            reached = end >= wal.position(self._target)
            return reached, where if reached else f'{where}, short of the target {self._target}'
        newest = (int(self._newest[:8], 16), self._segments.start(self._segments.number(self._newest)))
        if (timeline, end) > newest:
            return True, where
        return False, f'{where}, but the archive goes on to segment {self._newest}: {server.why_it_ended()}'

    def _check_mark(self, server):
        found = server.value("SELECT to_regclass('shardwright.backup_mark') IS NOT NULL")
        mark = server.value('SELECT mark FROM shardwright.backup_mark') if found else None
        # A later one stands for this one as well.
        if mark is not None and mark >= self._mark:
            return True, f'found {mark}'
        return False, f'the mark {self._mark} is missing: found {mark or "none"}'

    def _check_contents(self, server):
        expected = self._task.input['contents']
        wrong = []
        rows = 0
        for each in expected:
            found = server.digest(each['table'], self._task.input['digest'])
            if found is None:
                wrong.append(f'{each["table"]} is missing')
                continue
            rows += int(found['rows'])
            if found['rows'] != each['rows']:
                wrong.append(f'{each["table"]} has {found["rows"]} rows, not {each["rows"]}')
            elif found['hash'] != each['hash']:
                wrong.append(f'{each["table"]} has other content')
        if wrong:
            return False, '; '.join(wrong[:5])
        return True, f'{len(expected)} tables with {rows} rows hold what the source held'


def drill():
    task = Task()
    work = None
    try:
        work = Drill(task)
        work.run()
        failed = [each for each in work.words['checks'] if not each['passed']]
        failure = f'{failed[0]["name"]}: {failed[0]["message"]}' if failed else None
    except (Failure, Stopped, pgbackrest.Failed) as error:
        failure = str(error)
    except Exception as error:  # pylint: disable=broad-except  # the cause is told whatever it is
        failure = f'{type(error).__name__}: {error}'
    words = work.words if work is not None else {'kind': 'Drill', 'steps': [], 'checks': []}
    words = {**words, 'state': 'Succeeded'} if failure is None else {**words, 'state': 'Failed', 'failure': failure}
    task.conclude(words)
    # The volume goes with the pod, the space on it now.
    for entry in os.listdir(VOLUME):
        shutil.rmtree(os.path.join(VOLUME, entry), ignore_errors=True)
    return 0 if failure is None else 1


def split_mark(text):
    """`<time>_<uuid>@<position>`: what the row holds, and the position behind its commit."""
    if text is None:
        return None, None
    mark, _, position = text.partition('@')
    return mark, wal.position(position)


def since_creation():
    """Seconds since the Job was created; none where there is no Job to ask."""
    if 'REPORT_FILE' in os.environ:
        return 0.0
    try:
        return max(0.0, time.time() - seconds_of(report.read_object()['metadata']['creationTimestamp']))
    except Exception as error:  # pylint: disable=broad-except  # an API server that is away must not end a drill
        log(f'reading the Job: {error}')
        return 0.0


if __name__ == '__main__':
    sys.exit(drill())
