import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'postgres'))

from pgbackrest import explain  # noqa: E402

REFUSED = """ERROR: [103]: unable to find a valid repository:
       repo1: [ProtocolError] unable to load info file '/a/archive.info' or '/a/archive.info.copy':
       ProtocolError: HTTP request failed with 403 (Forbidden):
       *** Path/Query ***:
       GET /backups/a/archive.info
       *** Request Headers ***:
       authorization: <redacted>
       *** Response Content ***:
       <?xml version="1.0" encoding="UTF-8"?>
       <Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not fit AK123.</Message></Error>
       ProtocolError: HTTP request failed with 403 (Forbidden):
       HINT: archive.info cannot be opened but is required to push/get WAL segments.
"""
SLOW = """WARN: something before
P00  ERROR: [049]: unable to connect to 'a:1': [111] Connection refused
           [HostConnectError] on 4 retries from 100-1000ms: unable to connect to 'a:1': [111] Connection refused
INFO: something after
"""


class Explaining(unittest.TestCase):
    def test_a_refusal_is_its_status_and_the_words_of_the_store(self):
        self.assertEqual(explain(REFUSED, ['AK123', 'sesame']),
                         "unable to load info file '/a/archive.info' or '/a/archive.info.copy': ProtocolError: HTTP request "
                         'failed with 403 (Forbidden): SignatureDoesNotMatch: The signature does not fit ***.')

    def test_how_often_it_was_tried_is_left_out(self):
        self.assertEqual(explain(SLOW), "unable to connect to 'a:1': [111] Connection refused")

    def test_a_secret_is_hidden_wherever_it_stands(self):
        self.assertEqual(explain('ERROR: [031]: open sesame is not open', ['open', 'open sesame']), '*** is not ***')

    def test_what_cannot_be_printed_is_not_told(self):
        self.assertEqual(explain('ERROR: [031]: invalid \'\x81a\x07\ufeff\' in file'), "invalid '?a??' in file")

    def test_something_is_always_said_and_never_much(self):
        self.assertEqual(explain(''), 'pgBackRest failed without a word')
        self.assertLessEqual(len(explain('ERROR: [031]: ' + 'long ' * 500)), 400)


if __name__ == '__main__':
    unittest.main()
