"""Runs pgBackRest, and says in one line why it failed. What it reads - the store's credentials among it - is in the mounted
settings; nothing secret is an argument, and nothing secret is in what `Failed` says."""
import json
import os
import re
import subprocess

REPOSITORY = '/etc/shardwright/backup'
LONGEST = 400


class Failed(Exception):
    """`code` is pgBackRest's own, or -1 when it did not end in time."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def is_bound():
    return os.path.exists(REPOSITORY + '/pgbackrest.conf')


def policy():
    with open(REPOSITORY + '/policy.json', encoding='utf-8') as file:
        return json.load(file)


def run(stanza, command, *options, timeout=120.0):
    """Standard output of a command that succeeded. Raises {@link Failed}."""
    arguments = ['pgbackrest', f'--stanza={stanza}', command, *options]
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False,
                              encoding='utf-8', errors='replace')
    except subprocess.TimeoutExpired:
        raise Failed(-1, f'pgbackrest {command} did not end within {timeout:.0f} s') from None
    if done.returncode != 0:
        raise Failed(done.returncode, explain(done.stderr or done.stdout, secrets()))
    return done.stdout


def ask(stanza, command, *options, timeout=120.0):
    return json.loads(run(stanza, command, '--output=json', *options, timeout=timeout) or 'null', strict=False)


def secrets():
    """Values of the settings that must never be told."""
    try:
        with open(REPOSITORY + '/pgbackrest.conf', encoding='utf-8') as file:
            pairs = [line.rstrip('\n').split('=', 1) for line in file if '=' in line]
    except OSError:
        return []
    return [value for key, value in pairs if re.search(r'-(key|key-secret|cipher-pass|token)$', key)]


def explain(text, hidden=()):
    """The point of what pgBackRest said, in one line: without its hints, its headers and the secrets in `hidden`."""
    lines = [line.strip() for line in text.splitlines()]
    begin = next((index for index, line in enumerate(lines) if re.match(r'(P\d\d +)?ERROR: ', line)), 0)
    said = []
    for line in lines[begin:]:
        # How often it was tried.
        if line.startswith('['):
            continue
        # A request that was refused is shown whole; of it the status and the store's own words count.
        if line.startswith('*** ') or line.startswith('HINT:'):
            break
        if said and re.match(r'(P\d\d +)?(ERROR|WARN|INFO): ', line):
            break
        said.append(line)
    answer = [words for tag in ('Code', 'Message') for words in re.findall(f'<{tag}>([^<]*)</{tag}>', text)[:1]]
    message = re.sub(r'^(P\d\d +)?ERROR: (\[\d+\]: )?', '', ' '.join(filter(None, said)))
    # There is one repository, and what ails it is what comes after this.
    message = re.sub(r'^(unable to find a valid repository|archive-push command encountered error\(s\)): repo1: (\[\w+\] )?', '', message)
    message = ': '.join([message.rstrip(':'), *answer]).strip()
    for secret in sorted(hidden, key=len, reverse=True):
        message = message.replace(secret, '***')
    # With a wrong passphrase it quotes what came out of the cipher.
    message = ''.join(each if each.isprintable() or each.isspace() else '?' for each in message)
    return re.sub(r'\s+', ' ', message)[:LONGEST] or 'pgBackRest failed without a word'
