"""Which backups the repository holds, or why it cannot be read."""
import re

import pgbackrest
import store
from task import Failure

# So long a store may be silent.
IO_SECONDS = 20


def existing(stanza):
    """As pgBackRest lists them, oldest first. Raises Failure, at once when nobody answers there."""
    why = store.unreachable()
    if why is not None:
        raise Failure(why)
    found = pgbackrest.ask(stanza, 'info', f'--io-timeout={IO_SECONDS}')
    status = found[0]['status'] if found else {'code': 1, 'message': 'missing stanza path'}
    # 2: there is none yet. 1 and 3: nobody has begun the archive yet, which is the primary's to do.
    if status['code'] in (1, 3):
        raise Failure('the archive has not been begun yet: see what the primary reports of archiving')
    if status['code'] not in (0, 2):
        messages = [each['status']['message'] for each in found[0].get('repo', [])]
        raise Failure(unreadable(messages[0] if messages else status['message']))
    return sorted(found[0]['backup'], key=lambda each: each['timestamp']['stop'])


def unreadable(message):
    # What is decrypted with another passphrase is noise, which is told as what it was taken for.
    if re.search(r'(Crypto|Format)Error', message):
        return 'the repository cannot be read: it was not encrypted with this passphrase, or it is damaged'
    return 'the repository cannot be read: ' + pgbackrest.explain(message, pgbackrest.secrets())
