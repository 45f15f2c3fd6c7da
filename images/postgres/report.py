"""What a pod tells of its work: one annotation of one object. By default that of its own pod; REPORT_OBJECT is the path of
another, without scheme and host. With REPORT_FILE it is a file instead, which replaces the one before it in one step.

`write_report` raises what went wrong; a report that cannot be delivered must not end what it tells of: callers log and go on."""
import http.client
import json
import os
import ssl

ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
ANNOTATION = 'shardwright.io/report'
TIMEOUT_SECONDS = 5


class ReportRefused(Exception):
    """The API server answered, and not with success."""


def write_report(report):
    text = json.dumps(report, separators=(',', ':'))
    path = os.environ.get('REPORT_FILE')
    if path:
        with open(path + '.new', 'w', encoding='utf-8') as file:
            file.write(text)
        os.replace(path + '.new', path)
    else:
        request('PATCH', report_object(), {'metadata': {'annotations': {ANNOTATION: text}}})


def read_object():
    """The object that the report is written to, as the API server has it."""
    return request('GET', report_object())


def report_object():
    path = os.environ.get('REPORT_OBJECT')
    if path:
        return path
    return f'/api/v1/namespaces/{os.environ["PATRONI_KUBERNETES_NAMESPACE"]}/pods/{os.environ["PATRONI_NAME"]}'


def request(method, path, body=None):
    # Read anew each time: the kubelet renews the token.
    with open(ACCOUNT + '/token', encoding='ascii') as file:
        headers = {'Authorization': 'Bearer ' + file.read().strip(), 'Accept': 'application/json'}
    if body is not None:
        headers['Content-Type'] = 'application/merge-patch+json'
    connection = http.client.HTTPSConnection(
        os.environ['KUBERNETES_SERVICE_HOST'], int(os.environ.get('KUBERNETES_SERVICE_PORT', '443')),
        timeout=TIMEOUT_SECONDS, context=ssl.create_default_context(cafile=ACCOUNT + '/ca.crt'))
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise ReportRefused(f'{method} {path}: {answer.status} {text[:300].decode(errors="replace")}')
        return json.loads(text)
    finally:
        connection.close()
