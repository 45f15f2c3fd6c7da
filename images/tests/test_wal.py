import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'postgres'))

import wal  # noqa: E402

MB = 2 ** 20
HISTORY = '1\t0/5000148\tno recovery target specified\n\n2\t0/9000000\tno recovery target specified\n'


class Names(unittest.TestCase):
    def test_positions(self):
        self.assertEqual(wal.position('16/B374D848'), 0x16B374D848)
        self.assertEqual(wal.position_text(0x16B374D848), '16/B374D848')

    def test_segments_of_every_size_roll_over_where_the_server_does(self):
        for size, last in ((1, 'FFF'), (16, 'FF'), (1024, '3')):
            segments = wal.Segments(size * MB)
            number = 2 ** 32 // (size * MB)
            self.assertEqual(segments.name(3, number - 1), '0000000300000000' + last.rjust(8, '0'))
            self.assertEqual(segments.name(3, number), '000000030000000100000000')
            self.assertEqual(segments.number('000000030000000100000000'), number)

    def test_what_is_a_segment(self):
        self.assertTrue(wal.is_segment('000000010000000A000000FF'))
        for name in ('00000002.history', '000000010000000A000000FF.partial', '000000010000000a000000ff', ''):
            self.assertFalse(wal.is_segment(name))


class Lineages(unittest.TestCase):
    def setUp(self):
        self.segments = wal.Segments(16 * MB)
        self.lineage = wal.Lineage(3, HISTORY)

    def test_a_segment_belongs_to_the_newest_timeline_that_began_in_it_or_before(self):
        found = [self.lineage.timeline_of(self.segments, number) for number in range(3, 12)]
        self.assertEqual(found, [1, 1, 2, 2, 2, 2, 3, 3, 3])

    def test_a_backup_of_a_branch_that_was_left_is_of_no_use(self):
        self.assertTrue(self.lineage.holds(1, 0x5000148))
        self.assertFalse(self.lineage.holds(1, 0x5000149))
        self.assertTrue(self.lineage.holds(3, 0xFFFFFFFF))
        self.assertFalse(self.lineage.holds(4, 0x1))

    def test_the_way_from_one_position_to_another(self):
        self.assertEqual(self.lineage.legs(0x3000000, 0xA000000),
                         [(1, 0x3000000, 0x5000148), (2, 0x5000148, 0x9000000), (3, 0x9000000, 0xA000000)])
        self.assertEqual(self.lineage.legs(0x6000000, 0x7000000), [(2, 0x6000000, 0x7000000)])
        self.assertEqual(self.lineage.legs(0xA000000, 0xA000000), [])

    def test_timelines_that_recovery_must_find_by_their_history(self):
        self.assertEqual(self.lineage.later_than(1), [2, 3])
        self.assertEqual(self.lineage.later_than(3), [])
        self.assertEqual(wal.Lineage(1).later_than(1), [])

    def test_what_a_restore_needs(self):
        self.assertEqual(wal.needed(self.segments, self.lineage, 4, 7),
                         ['000000010000000000000004', '000000020000000000000005', '000000020000000000000006'])
        self.assertEqual(wal.folders(wal.needed(self.segments, self.lineage, 4, 7)),
                         ['0000000100000000', '0000000200000000'])


if __name__ == '__main__':
    unittest.main()
