"""Whether anybody answers at the object store's address, with a certificate that can be trusted. pgBackRest asks again for a
minute and a half before it gives up; this knows in seconds, and says why."""
import socket
import ssl

import pgbackrest

TIMEOUT_SECONDS = 3.0


def address():
    """Host, port and file of authorities (None: the system's), from pgBackRest's settings."""
    settings = {}
    with open(pgbackrest.REPOSITORY + '/pgbackrest.conf', encoding='utf-8') as file:
        for line in file:
            key, _, value = line.rstrip('\n').partition('=')
            settings.setdefault(key, value)
    return (settings['repo1-s3-endpoint'], int(settings.get('repo1-storage-port', '443')),
            settings.get('repo1-storage-ca-file'))


def unreachable():
    """None, or why it cannot be reached."""
    try:
        host, port, authorities = address()
    except (OSError, KeyError, ValueError) as error:
        return f'the settings of the repository cannot be read: {error}'
    where = f'{host}:{port}'
    try:
        context = ssl.create_default_context(cafile=authorities)
        # Names are pgBackRest's to check: it reads addresses differently.
        context.check_hostname = False
        # As strict as pgBackRest is, and no stricter.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        with socket.create_connection((host, port), timeout=TIMEOUT_SECONDS) as plain:
            plain.settimeout(TIMEOUT_SECONDS)
            with context.wrap_socket(plain, server_hostname=host):
                return None
    except ssl.SSLCertVerificationError as error:
        return f'the certificate of {where} is not trusted: {error.verify_message}'
    except TimeoutError:
        return f'{where} does not answer'
    except OSError as error:
        return f'cannot connect to {where}: {error.strerror or error}'
