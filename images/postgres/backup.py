"""`member backup`: one base backup, read from the members and written to the store, and before it the removal of those that are
not wanted any more. The last good one is never removed, and no log that a kept one needs."""
import json
import re
import socket
import sys

import pgbackrest
from repository import IO_SECONDS, existing
from supervisor import log
from task import Child, Failure, Stopped, Task, time_text

CERTIFICATES = '/etc/shardwright/tls'
DATA = '/var/lib/postgresql/data'
SOCKETS = '/run/postgresql'
# What types are called, and what pgBackRest calls them.
TYPES = {'full': 'full', 'differential': 'diff', 'incremental': 'incr'}
LABEL = re.compile(r'\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?')
# So long the archiver may be behind.
ARCHIVE_SECONDS = 120
CONNECT_SECONDS = 5.0
# Until its first checkpoint a server that was promoted has the timeline of before in its control file, and pgBackRest refuses to
# begin. It looks there before it asks for a checkpoint itself, so the next attempt finds the new one.
UNSETTLED = re.compile(r'WAL timeline \d+ does not match pg_control timeline \d+')
MOST_RECORDS = 500


class Unsettled(Failure):
    """The primary was promoted a moment ago: the same works now."""


def backup():
    task = Task()
    words = {'kind': 'Backup', 'state': 'Running', 'type': task.input['type']}
    try:
        words = work(task, words)
    except (Failure, Stopped, pgbackrest.Failed) as error:
        words = {**words, 'state': 'Failed', 'failure': str(error)}
    except Exception as error:  # pylint: disable=broad-except  # the cause is told whatever it is
        words = {**words, 'state': 'Failed', 'failure': f'{type(error).__name__}: {error}'}
    task.conclude(words)
    return 0 if words['state'] == 'Succeeded' else 1


def work(task, words):
    task.tell(words)
    stanza = pgbackrest.policy()['stanza']
    known = existing(stanza)
    removed = remove(task, stanza, known)
    before = {each['label'] for each in known}
    words = {**words, **copy(task, stanza, words)}
    known = existing(stanza)
    if removed:
        known = remove_log(task, stanza, known)
    # The annotations of an object hold 256 KiB. Those that are left out come into view as newer ones are removed.
    words['records'] = [record(each) for each in known[-MOST_RECORDS:]]
    made = [each for each in known if each['label'] not in before]
    if not made:
        raise Failure('the repository does not list the backup that was made')
    if made[-1].get('error'):
        return {**words, 'state': 'Failed', 'failure': f'{made[-1]["label"]} holds pages with a wrong checksum'}
    return {**words, 'state': 'Succeeded', 'type': kind(made[-1])}


def remove(task, stanza, known):
    """Removes them with all that stands on them. What cannot be removed today is asked for again with the next backup."""
    gone = set()
    # The oldest first: what stands on it goes with it.
    for label in sorted(set(task.input['expire'])):
        if label in gone:
            continue
        doomed = standing_on(label, known)
        if not LABEL.fullmatch(label) or not doomed:
            log(f'not removing {label}: there is no such backup')
            continue
        if not any(each['label'] not in gone | doomed and not each['error'] for each in known):
            log(f'not removing {label}: no good backup would be left')
            continue
        log(f'removing {label}')
        try:
            pgbackrest.run(stanza, 'expire', f'--set={label}', f'--io-timeout={IO_SECONDS}', timeout=task.left())
            gone |= doomed
        except pgbackrest.Failed as error:
            log(f'removing {label}: {error}')
    return gone


def standing_on(label, known):
    """It, and what stands on it, however far away; nothing if it is not there. A backup is older than those that stand on it."""
    doomed = set()
    for each in known:
        if each['label'] == label or each.get('prior') in doomed:
            doomed.add(each['label'])
    return doomed


def remove_log(task, stanza, known):
    """Log from before the oldest full backup helps nobody. It is kept from there on: as many full backups as there are."""
    full = sum(each['type'] == 'full' for each in known)
    try:
        pgbackrest.run(stanza, 'expire', f'--repo1-retention-archive={full}', f'--io-timeout={IO_SECONDS}',
                       timeout=task.left())
    except pgbackrest.Failed as error:
        log(f'removing log: {error}')
    return existing(stanza)


def copy(task, stanza, words):
    """Runs it, tells how far it is, and returns the last that was to be told."""
    primary, *replicas = task.input['hosts']
    silent = unreachable(primary, task.input['port'])
    if silent is not None:
        raise Failure(f'the primary cannot be read: {silent}')
    # pgBackRest would wait half a minute for each that does not answer.
    hosts = [primary, *(each for each in replicas if unreachable(each, task.input['port']) is None)]
    command = ['pgbackrest', f'--stanza={stanza}', *options(task.input, hosts), 'backup']
    log('backing up from ' + ', '.join(hosts))
    try:
        return attempt(command, task, stanza, words)
    except Unsettled as error:
        log(f'beginning again after the first checkpoint since a promotion: {error}')
        return attempt(command, task, stanza, words)


def attempt(command, task, stanza, words):
    primary, done = task.input['hosts'][0], {}
    with Child(command) as child:
        while (code := child.ended(1.0)) is None:
            done = progress(stanza) or done
            task.tell({**words, **done})
        if code != 0:
            said = child.said()
            cause = why(said)
            if UNSETTLED.search(said):
                raise Unsettled(cause)
            silent = unreachable(primary, task.input['port'])
            raise Failure(cause if silent is None else f'the primary was lost meanwhile: {silent} ({cause})')
    if 'totalBytes' in done:
        done['doneBytes'] = done['totalBytes']
    return done


def options(task, hosts):
    """Where the data are, and how to copy. Small files are stored in bundles and large ones by blocks: measured, a small
    database is stored in a third of the time."""
    chosen = [
        '--type=' + TYPES[task['type']],
        '--no-expire-auto', '--repo1-bundle', '--repo1-block', '--process-max=2', '--log-level-console=info',
        f'--io-timeout={IO_SECONDS}', f'--archive-timeout={ARCHIVE_SECONDS}',
        '--backup-standby=' + ('prefer' if len(hosts) > 1 else 'n'),
        '--annotation=shardwright=' + json.dumps(task['about'], separators=(',', ':')),
    ]
    for number, host in enumerate(hosts, start=1):
        chosen += [f'--pg{number}-{name}={value}' for name, value in {
            'host': host,
            'host-type': 'tls',
            'host-port': task['port'],
            'host-ca-file': CERTIFICATES + '/ca.crt',
            'host-cert-file': CERTIFICATES + '/tls.crt',
            'host-key-file': CERTIFICATES + '/tls.key',
            'path': DATA,
            'socket-path': SOCKETS,
        }.items()]
    return chosen


def unreachable(host, port):
    """None, or why nobody answers there."""
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
        return None
    except OSError as error:
        return f'{host} does not answer: {error.strerror or error}'


def progress(stanza):
    """pgBackRest writes how far it is into its lock."""
    try:
        with open(f'/tmp/pgbackrest/lock/{stanza}-backup-1.lock', encoding='utf-8') as file:
            lock = json.load(file)
        return {'doneBytes': lock['szCplt'], 'totalBytes': lock['sz']}
    except (OSError, ValueError, KeyError):
        return None


def why(said):
    if 'LockAcquireError' in said or re.search(r'unable to acquire .*lock', said):
        return 'another backup of this shard is running'
    # That no member was found is only the end of it: why the first one was not, is told before.
    first = re.search(r'WARN: unable to check pg1: (?:\[\w+\] )?(.*)', said)
    if first and 'unable to find primary' in said:
        return 'the primary cannot be read: ' + pgbackrest.explain('ERROR: ' + first.group(1), pgbackrest.secrets())
    return pgbackrest.explain(said, pgbackrest.secrets())


def kind(each):
    return next(name for name, own in TYPES.items() if own == each['type'])


def record(each):
    return {
        'label': each['label'],
        'type': kind(each),
        'started': time_text(each['timestamp']['start']),
        'stopped': time_text(each['timestamp']['stop']),
        'databaseBytes': each['info']['size'],
        'storedBytes': each['info']['repository']['delta'],
        **({'prior': each['prior']} if each.get('prior') else {}),
        'error': bool(each['error']),
    }


if __name__ == '__main__':
    sys.exit(backup())
