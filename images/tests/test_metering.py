import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'postgres'))

from metering import Meter, Reporting  # noqa: E402
from wal import Segments  # noqa: E402

SEGMENTS = Segments(100)


def meter(objective=10.0, archived=100, since=0.0):
    made = Meter(SEGMENTS, objective, since)
    made.archived_to(archived)
    return made


class Age(unittest.TestCase):
    def test_nothing_is_known_before_a_sample_is_covered(self):
        one = meter(since=-50.0)
        one.sample(0.0, 'a', 150)
        self.assertEqual(one.age(1.0), 51.0)

    def test_no_commit_since_the_covered_sample_is_zero_however_far_the_log_runs(self):
        one = meter()
        one.sample(0.0, 'a', 90)
        for second in range(1, 60):
            one.sample(float(second), 'a', 90 + 50 * second)
        self.assertEqual(one.age(59.0), 0.0)

    def test_a_commit_counts_from_the_last_moment_without_it(self):
        one = meter()
        one.sample(0.0, 'a', 90)
        one.sample(30.0, 'a', 120)
        one.sample(31.0, 'b', 130)
        self.assertEqual(one.age(34.0), 4.0)

    def test_it_is_covered_by_the_end_of_its_segment_only(self):
        one = meter()
        one.sample(0.0, 'a', 90)
        one.sample(1.0, 'b', 130)
        one.archived_to(100)
        self.assertEqual(one.age(2.0), 2.0)
        one.archived_to(200)
        self.assertEqual(one.age(2.0), 0.0)

    def test_what_was_committed_after_the_covered_sample_is_counted_from_it(self):
        one = meter()
        one.sample(0.0, 'a', 90)
        one.sample(1.0, 'b', 130)
        one.sample(2.0, 'c', 210)
        one.archived_to(200)
        self.assertEqual(one.age(5.0), 4.0)

    def test_a_position_at_the_boundary_needs_the_segment_before_it(self):
        one = meter()
        one.sample(0.0, 'a', 200)
        self.assertGreater(one.age(1.0), 0.0)
        one.archived_to(200)
        self.assertEqual(one.age(1.0), 0.0)

    def test_of_many_segments_that_wait_each_one_that_arrives_counts(self):
        one = meter()
        one.sample(0.0, 'a', 90)
        for second in range(1, 9):
            one.sample(float(second), f's{second}', 100 * second + 50)
        ages = []
        for end in range(200, 1000, 100):
            one.archived_to(end)
            ages.append(one.age(9.0))
        self.assertEqual(ages, [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 0.0])

    def test_a_server_that_does_not_answer_may_yet_commit(self):
        one = meter()
        one.sample(0.0, 'a', 90)
        self.assertEqual(one.age(4.0), 0.0)
        self.assertEqual(one.age(6.0), 6.0)

    def test_a_gap_that_is_found_takes_back_what_was_covered(self):
        one = meter(since=-100.0)
        one.sample(0.0, 'a', 90)
        self.assertEqual(one.age(0.0), 0.0)
        one.archived_to(0)
        one.looked(-7.0)
        self.assertEqual(one.age(0.0), 7.0)

    def test_a_look_into_the_log_that_finds_no_commit_covers_its_sample(self):
        one = meter()
        one.sample(5.0, 'a', 150)
        one.looked(5.0, (5.0, 'a', 150))
        one.sample(6.0, 'a', 170)
        self.assertEqual(one.age(6.0), 0.0)
        one.sample(7.0, 'b', 180)
        self.assertEqual(one.age(8.0), 2.0)


class Switching(unittest.TestCase):
    def busy(self, **more):
        one = meter(**more)
        one.sample(0.0, 'a', 90)
        one.sample(1.0, 'b', 130)
        return one

    def test_a_segment_ends_when_half_of_the_objective_is_used_less_the_transfer(self):
        one = self.busy()
        self.assertFalse(one.should_switch(3.9, 1.0))
        self.assertTrue(one.should_switch(4.0, 1.0))
        self.assertFalse(one.should_switch(4.9, 0.0))
        self.assertTrue(one.should_switch(5.0, 0.0))

    def test_also_when_nothing_was_covered_yet_and_commits_do_not_cease(self):
        one = meter(archived=100)
        for second in range(5):
            one.sample(float(second), f'snapshot {second}', 110 + second)
            self.assertFalse(one.should_switch(float(second), 0.5))
        one.sample(5.0, 'snapshot 5', 115)
        self.assertTrue(one.should_switch(5.0, 0.5))

    def test_never_when_nothing_was_committed(self):
        one = meter()
        one.sample(0.0, 'a', 90)
        one.sample(1.0, 'a', 150)
        self.assertFalse(one.should_switch(100.0, 0.0))

    def test_never_while_one_is_on_its_way(self):
        one = self.busy()
        one.switched(135)
        one.sample(2.0, 'c', 230)
        self.assertFalse(one.should_switch(100.0, 0.0))
        one.archived_to(200)
        self.assertTrue(one.should_switch(100.0, 0.0))

    def test_never_while_a_full_segment_waits_for_the_archive(self):
        one = self.busy()
        one.sample(2.0, 'c', 330)
        self.assertFalse(one.should_switch(100.0, 0.0))

    def test_never_before_it_is_known_what_is_archived(self):
        one = Meter(SEGMENTS, 10.0, 0.0)
        one.sample(0.0, 'a', 90)
        self.assertFalse(one.should_switch(100.0, 0.0))

    def test_a_transfer_that_takes_longer_than_the_objective_does_not_make_it_a_segment_a_second(self):
        one = self.busy(objective=8.0)
        self.assertFalse(one.should_switch(0.9, 60.0))
        self.assertTrue(one.should_switch(1.0, 60.0))


class Telling(unittest.TestCase):
    def test_every_five_seconds_and_at_once_when_it_changes(self):
        one = Reporting()
        told = []
        for second, state in enumerate('aaaaaaabbbbbbbbb'):
            if one.is_due(float(second), state):
                one.told(float(second), state)
                told.append(second)
        self.assertEqual(told, [0, 5, 7, 12])


if __name__ == '__main__':
    unittest.main()
