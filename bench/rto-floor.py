"""Runs in a pod of the members' image, beside a shard's settings of its repository. `prepare STANZA` makes a finished data directory;
`measure STANZA LABEL` copies the objects of a backup as they are stored, starts PostgreSQL on that directory, and prints one JSON line."""
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, '/opt/member')
from restored import Restored  # noqa: E402  # pylint: disable=wrong-import-position

COPY = '/var/lib/postgresql/copy'
# As many as a drill fetches at a time.
AT_ONCE = 2


def pgbackrest(stanza, *arguments, **options):
    return subprocess.run(['pgbackrest', f'--stanza={stanza}', *arguments], check=True, **options)


def start_and_stop():
    with Restored('app') as server:
        began = time.monotonic()
        why = server.start(600)
        if why is not None:
            sys.exit(why)
        seconds = time.monotonic() - began
        server.stop()
    return seconds


def prepare(stanza):
    os.umask(0o077)
    pgbackrest(stanza, '--archive-mode=off', f'--process-max={AT_ONCE}', 'restore', stdout=subprocess.DEVNULL)
    start_and_stop()


def measure(stanza, label):
    folder = f'backup/{stanza}/{label}'
    shutil.rmtree(COPY, ignore_errors=True)
    os.mkdir(COPY)
    began = time.monotonic()
    listed = pgbackrest(stanza, 'repo-ls', '--recurse', '--output=json', folder, stdout=subprocess.PIPE).stdout
    names = [name for name, entry in json.loads(listed).items() if entry['type'] == 'file']
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sizes = list(pool.map(lambda each: fetch(stanza, f'{folder}/{each[1]}', f'{COPY}/{each[0]}'), enumerate(names)))
    os.sync()
    copied = time.monotonic() - began
    shutil.rmtree(COPY)
    os.sync()
    print(json.dumps({'copiedBytes': sum(sizes), 'copySeconds': copied, 'startSeconds': start_and_stop()}))


def fetch(stanza, path, to):
    with open(to, 'wb') as file:
        pgbackrest(stanza, 'repo-get', '--raw', path, stdout=file)
    return os.path.getsize(to)


if __name__ == '__main__':
    {'prepare': prepare, 'measure': measure}[sys.argv[1]](*sys.argv[2:])
