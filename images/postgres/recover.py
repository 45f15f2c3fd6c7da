"""`member recover`: fills a volume with a shard as the object store has it, at its newest or as it was at a time, for a new
fleet to start from, or for the same one that has lost the shard. What is told of what the shard owned comes from its own database.

Everything happens in a folder of its own, which gets the name of the data folder at the very end: what was cut off half way is never
taken for a database. The server that is started in it speaks to nobody but this program."""
import glob
import itertools
import json
import os
import shutil
import sys
import time

import pgbackrest
import recovering
import restored
import store
import wal
from archive import Archive
from member import hold_volume
from supervisor import log
from task import Child, Stopped, Task, seconds_of, time_text

VOLUME = '/var/lib/postgresql'
FINISHED = VOLUME + '/data'
UNFINISHED = VOLUME + '/recovering'
REPLACED = VOLUME + '/replaced-'
NOTE = VOLUME + '/recovered.json'
IO_SECONDS = 20
PROCESSES = 4


class Recovery:
    def __init__(self, task):
        self._task = task
        self._input = task.input
        self._stanza = task.input['stanza']
        path = task.input.get('path')
        self._place = [*([] if path is None else ['--repo1-path=/' + path]), f'--io-timeout={IO_SECONDS}']
        self._target = task.input.get('targetTime')
        self.words = {'kind': 'Recovery', 'state': 'Running', 'steps': []}

    def run(self):
        os.umask(0o077)
        hold_volume()
        if os.path.exists(FINISHED) and self._taken_up():
            return
        shutil.rmtree(UNFINISHED, ignore_errors=True)
        os.mkdir(UNFINISHED, 0o700)
        restored.DATA = UNFINISHED
        self._timed('Fetch', self._fetch)
        with restored.Restored(self._input['database']) as server:
            self._timed('Recover', lambda: self._recover(server))
            self._timed('Prepare', lambda: self._prepare(server))
        # From here on the data folder is missing until it is the new one: the note never stands beside another's.
        self._make_way()
        with open(NOTE, 'w', encoding='utf-8') as file:
            json.dump({'of': self._identity(), 'words': self.words}, file)
        os.rename(UNFINISHED, FINISHED)
        os.sync()
        if self._input.get('replaced') == 'discard':
            for folder in kept():
                shutil.rmtree(folder, ignore_errors=True)

    def _make_way(self):
        """What is there stays whole beside the new, until a person removes it or has asked for that."""
        if os.path.exists(FINISHED):
            names = (REPLACED + str(number) for number in itertools.count(1))
            os.rename(FINISHED, next(name for name in names if not os.path.exists(name)))

    def _taken_up(self):
        """What was done before is told again."""
        try:
            with open(NOTE, encoding='utf-8') as file:
                note = json.load(file)
        except (OSError, ValueError):
            note = {}
        if note.get('of') == self._identity():
            self.words = note['words']
            return True
        if 'replaced' not in self._input:
            raise recovering.Refused('the volume holds a database already: recover under another name, or delete its claim')
        return False

    def _identity(self):
        return {name: self._input.get(name) for name in ('fleet', 'path', 'stanza', 'targetTime')}

    def _timed(self, name, work):
        began = time.monotonic()
        work()
        step = {'name': name, 'seconds': round(time.monotonic() - began, 3)}
        self.words['steps'] = [*self.words['steps'], step]
        self._task.tell(dict(self.words))

    def _fetch(self):
        why = store.unreachable()
        if why is not None:
            raise recovering.Refused(why)
        listed = pgbackrest.ask(self._stanza, 'info', *self._place)
        label = recovering.backup_for(listed, None if self._target is None else seconds_of(self._target), time_text)
        goal = ['--type=default'] if self._target is None else [
            '--type=time', '--target=' + recovering.server_time(self._target), '--target-action=promote']
        log(f'restoring {label}')
        command = ['pgbackrest', f'--stanza={self._stanza}', *self._place, f'--pg1-path={UNFINISHED}', f'--set={label}',
                   '--archive-mode=off', f'--process-max={PROCESSES}', '--log-level-console=info', *goal, 'restore']
        with Child(command) as child:
            if child.ended(None) != 0:
                raise recovering.Refused('restoring failed: ' + pgbackrest.explain(child.said(), pgbackrest.secrets()))
        self.words['bytes'] = sum(os.path.getsize(os.path.join(folder, name))
                                  for folder, _, names in os.walk(UNFINISHED) for name in names)

    def _recover(self, server):
        segments = wal.Segments(int(restored.controls()['Bytes per WAL segment']))
        # Before it begins: a fleet that still runs goes on archiving.
        newest = Archive(self._stanza, segments, self._place).newest()
        why = server.start(self._task.left())
        to_the_end = self._target is None
        if why is not None and not to_the_end and server.ended_early():
            # Nothing was committed here after that time, or the archive has a gap: the end of it tells which.
            log('the archive ends before a commit after that time: taking all of it')
            self._without_target()
            to_the_end = True
            why = server.start(self._task.left())
        if why is not None:
            raise recovering.Refused(why)
        if to_the_end:
            self._check_end(server, segments, newest)

    def _without_target(self):
        path = UNFINISHED + '/postgresql.auto.conf'
        with open(path, encoding='utf-8') as file:
            kept = [line for line in file if not line.startswith('recovery_target')]
        with open(path, 'w', encoding='utf-8') as file:
            file.writelines(kept)

    def _check_end(self, server, segments, newest):
        """PostgreSQL takes the first segment that it is not given for the end of the archive, and is content."""
        timeline, end = server.recovered_to()
        if newest is not None and (timeline, end) <= (int(newest[:8], 16), segments.start(segments.number(newest))):
            raise recovering.Refused(f'recovered to {wal.position_text(end)} on timeline {timeline}, but the archive goes on '
                                     f'to segment {newest}: {server.why_it_ended()}')

    def _prepare(self, server):
        last = server.value('SELECT extract(epoch FROM pg_last_xact_replay_timestamp())::float8')
        found = server.value(self._input['found']) if server.value(self._input['known']) else {}
        for statement in self._input['prepare']:
            server.execute(statement)
        system = server.value('SELECT system_identifier::text FROM pg_control_system()')
        # The next server starts without a word of the log to replay.
        server.stop()
        self.words['result'] = {
            # It counts beyond what a number holds where this is read.
            'systemIdentifier': str(int(system) % 2 ** 64),
            **({} if last is None else {'lastCommit': time_text(last)}),
            'found': recovering.packed(found),
        }


def kept():
    """Databases that were on this volume before."""
    return glob.glob(REPLACED + '*')


def recover():
    task = Task()
    work = Recovery(task)
    failure = None
    try:
        work.run()
    except (recovering.Refused, Stopped, pgbackrest.Failed) as error:
        failure = str(error)
    except Exception as error:  # pylint: disable=broad-except  # the cause is told whatever it is
        failure = f'{type(error).__name__}: {error}'
    state = {'state': 'Succeeded'} if failure is None else {'state': 'Failed', 'failure': ' '.join(failure.split())}
    task.conclude({**work.words, **state})
    if failure is not None:
        shutil.rmtree(UNFINISHED, ignore_errors=True)
    return 0 if failure is None else 1


if __name__ == '__main__':
    sys.exit(recover())
