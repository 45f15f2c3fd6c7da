"""`member catalog`: what the object store holds of a fleet that may be gone: its incarnations, their shards, and from when to when
each can be brought back."""
import sys
from concurrent.futures import ThreadPoolExecutor

import pgbackrest
import recovering
import store
import wal
from archive import Archive
from supervisor import log
from task import Stopped, Task, time_text

IO_SECONDS = 20
# Each is a process that mostly waits for the store.
AT_ONCE = 8
# Only the names of segments matter here, which are the same for all sizes.
SEGMENTS = wal.Segments(16 * 1024 * 1024)


def catalog():
    task = Task()
    words = {'kind': 'Catalog', 'state': 'Running'}
    try:
        words = {**words, 'incarnations': recovering.packed(work(task)), 'state': 'Succeeded'}
    except (recovering.Refused, Stopped, pgbackrest.Failed) as error:
        words = {**words, 'state': 'Failed', 'failure': str(error)}
    except Exception as error:  # pylint: disable=broad-except  # the cause is told whatever it is
        words = {**words, 'state': 'Failed', 'failure': f'{type(error).__name__}: {error}'}
    task.conclude(words)
    return 0 if words['state'] == 'Succeeded' else 1


def work(task):
    why = store.unreachable()
    if why is not None:
        raise recovering.Refused(why)
    found = []
    for name in sorted(folders(task.input['path'], '')):
        path = f'{task.input["path"]}/{name}'
        stanzas = sorted(folders(path, 'backup'))
        log(f'{name} holds {len(stanzas)} shards')
        with ThreadPoolExecutor(AT_ONCE) as pool:
            shards = list(pool.map(lambda stanza: shard(path, stanza), stanzas))
        found.append({'id': name, 'shards': [each for each in shards if each is not None]})
    return found


def shard(path, stanza):
    place = ['--repo1-path=/' + path, f'--io-timeout={IO_SECONDS}']
    listed = pgbackrest.ask(stanza, 'info', *place)
    return recovering.offer(stanza, listed, Archive(stanza, SEGMENTS, place).newest_at(), time_text)


def folders(path, below):
    listed = pgbackrest.ask('none', 'repo-ls', '--repo1-path=/' + path, f'--io-timeout={IO_SECONDS}', *filter(None, [below]))
    return [name for name, entry in (listed or {}).items() if entry['type'] == 'path' and name != '.']


if __name__ == '__main__':
    sys.exit(catalog())
