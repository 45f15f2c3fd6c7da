import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'postgres'))

import recovering  # noqa: E402


def backup(label, stop, error=False, about=None):
    return {'label': label, 'timestamp': {'start': stop - 10, 'stop': stop}, 'error': error, 'info': {'size': 7},
            **({} if about is None else {'annotation': {'shardwright': about}})}


def listed(*backups, code=0, message='ok'):
    return [{'status': {'code': code, 'message': message}, 'backup': list(backups), 'db': [{'version': '17'}]}]


class BackupFor(unittest.TestCase):
    backups = listed(backup('C', 300), backup('A', 100), backup('B', 200), backup('bad', 250, error=True))

    def chosen(self, target):
        return recovering.backup_for(self.backups, target, str)

    def test_the_newest(self):
        self.assertEqual(self.chosen(None), 'C')

    def test_the_last_that_had_ended_by_then_without_an_error(self):
        self.assertEqual(self.chosen(299.9), 'B')
        self.assertEqual(self.chosen(200), 'B')
        self.assertEqual(self.chosen(100), 'A')

    def test_too_early_says_from_when(self):
        with self.assertRaisesRegex(recovering.Refused, '^99 is too early: the first backup ended at 100$'):
            self.chosen(99)

    def test_none(self):
        for empty in ([], listed(code=2, message='no valid backups')):
            with self.assertRaises(recovering.Refused):
                recovering.backup_for(empty, None, str)

    def test_a_repository_that_cannot_be_read(self):
        with self.assertRaisesRegex(recovering.Refused, 'cannot be read: wrong passphrase'):
            recovering.backup_for(listed(code=99, message='wrong\n passphrase'), None, str)


class Offer(unittest.TestCase):
    def offered(self, *backups, newest=None, stanza='social-3'):
        return recovering.offer(stanza, listed(*backups), newest, str)

    def test_from_the_first_backup_to_the_newest_of_the_log(self):
        about = '{"ordinal":3,"region":"eu"}'
        self.assertEqual(self.offered(backup('A', 100), backup('B', 200, about=about), newest=250), {
            'ordinal': 3, 'stanza': 'social-3', 'since': '100', 'until': '250', 'version': '17', 'databaseBytes': 7,
            'about': {'ordinal': 3, 'region': 'eu'}})

    def test_a_backup_from_before_they_said_anything(self):
        for about in (None, 'nonsense', '[]', '{"ordinal":"x"}'):
            found = self.offered(backup('A', 100, about=about))
            self.assertEqual((found['ordinal'], found['until']), (3, '100'))
            self.assertNotIn('about', found)

    def test_nothing_to_offer(self):
        self.assertIsNone(self.offered())
        self.assertIsNone(self.offered(backup('A', 100), stanza='somebody-else'))


if __name__ == '__main__':
    unittest.main()
