"""Which backup to begin with, and what a repository offers. Pure: what pgBackRest lists comes in."""
import base64
import json
import zlib

ABOUT = 'shardwright'


class Refused(Exception):
    """The cause in one line."""


def good(listed):
    """Backups without an error, oldest first. Raises Refused where the repository itself cannot be read."""
    if not listed:
        raise Refused('there is no such repository')
    status = listed[0]['status']
    # 2: no backup was made yet. 3: the repository is not there.
    if status['code'] not in (0, 2, 3):
        messages = [each['status']['message'] for each in listed[0].get('repo', []) if each['status']['code'] != 0]
        raise Refused('the repository cannot be read: ' + ' '.join((messages or [status['message']])[0].split()))
    found = [each for each in listed[0]['backup'] if not each['error']]
    return sorted(found, key=lambda each: each['timestamp']['stop'])


def backup_for(listed, target, text):
    """Label of the last backup that had ended by `target`, or of the newest. Times are seconds of the epoch; `text` writes one."""
    backups = good(listed)
    if not backups:
        raise Refused('the repository holds no backup of this shard')
    if target is None:
        return backups[-1]['label']
    early = [each for each in backups if each['timestamp']['stop'] <= target]
    if not early:
        raise Refused(f'{text(target)} is too early: the first backup ended at {text(backups[0]["timestamp"]["stop"])}')
    return early[-1]['label']


def offer(stanza, listed, newest, text):
    """What a shard can be brought back to, or None when it has no backup. `newest`: when the store had the last of its log."""
    backups = good(listed)
    if not backups:
        return None
    about = next((found for found in map(about_of, reversed(backups)) if found is not None), None)
    ordinal = stanza.rsplit('-', 1)[-1]
    if about is None and not ordinal.isdigit():
        return None
    last = backups[-1]
    return {
        'ordinal': int(ordinal) if about is None else about['ordinal'],
        'stanza': stanza,
        'since': text(backups[0]['timestamp']['stop']),
        'until': text(max(newest or 0, last['timestamp']['stop'])),
        'version': listed[0]['db'][-1]['version'],
        'databaseBytes': last['info']['size'],
        **({} if about is None else {'about': about}),
    }


def about_of(backup):
    try:
        found = json.loads((backup.get('annotation') or {})[ABOUT])
        return found if isinstance(found, dict) and isinstance(found.get('ordinal'), int) else None
    except (KeyError, ValueError):
        return None


def packed(value):
    """What may be long, as a report can carry it."""
    return base64.b64encode(zlib.compress(json.dumps(value, separators=(',', ':')).encode(), 9)).decode()


def server_time(text):
    """RFC 3339 as PostgreSQL and pgBackRest both take it."""
    return text.replace('T', ' ').replace('Z', '+00')
