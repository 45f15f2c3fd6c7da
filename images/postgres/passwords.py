"""The operator's own logins have the passwords that the mounted Secret says. Connects over the local socket as the
socket's owner, so a rotation needs neither the old password nor the operator."""
import base64
import hashlib
import hmac
import os

ITERATIONS = 4096


def verifier(password, salt):
    salted = hashlib.pbkdf2_hmac('sha256', password.encode(), salt, ITERATIONS)
    client = hashlib.sha256(hmac.digest(salted, b'Client Key', 'sha256')).digest()
    server = hmac.digest(salted, b'Server Key', 'sha256')
    text = [base64.b64encode(part).decode() for part in (salt, client, server)]
    return f'SCRAM-SHA-256${ITERATIONS}:{text[0]}${text[1]}:{text[2]}'


def agrees(stored, password):
    try:
        salt = base64.b64decode(stored.split('$')[1].split(':')[1])
        return hmac.compare_digest(stored, verifier(password, salt))
    except (AttributeError, IndexError, ValueError):
        return False


def synchronize(socket_folder, passwords):
    """Returns True when every login agrees; a replica can only wait until the primary's change arrives."""
    import psycopg2
    connection = psycopg2.connect(host=socket_folder, dbname='postgres', user='postgres', connect_timeout=3,
                                  options='-c statement_timeout=10000')
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute('SELECT pg_is_in_recovery()')
        replica = cursor.fetchone()[0]
        cursor.execute('SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY(%s)', (list(passwords),))
        stale = [name for name, stored in cursor.fetchall() if not agrees(stored, passwords[name])]
        if replica or not stale:
            return not stale
        for name in stale:
            # A verifier, never the password: statements can end up in a log.
            cursor.execute(f'ALTER ROLE "{name}" PASSWORD %s', (verifier(passwords[name], os.urandom(16)),))
        return True
    finally:
        connection.close()
