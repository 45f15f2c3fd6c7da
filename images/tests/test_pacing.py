import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'postgres'))

from pacing import FLOOR, Bucket, is_strained, next_allowed  # noqa: E402

PACE = {'parallel': 2, 'maxReplicaLagBytes': 1000, 'maxCommitLatencyMs': 100}
PIECE = 64 * 1024


class Buckets(unittest.TestCase):
    def run_for(self, bucket, seconds, readers, rate_at=lambda now: None):
        """Readers that read a piece as soon as they may. Returns the moments and sizes of what they read."""
        read, again = [], [0.0] * readers
        chance = random.Random(7)
        now = 0.0
        while now < seconds:
            for reader in range(readers):
                if now >= again[reader]:
                    again[reader] = now + bucket.due(now)
                    if again[reader] <= now:
                        count = chance.randint(1, PIECE)
                        read.append((now, count))
                        again[reader] = now + min(0.2, bucket.spend(now, count))
            now += 0.001
        return read

    def test_no_second_has_more_than_a_second_and_a_burst(self):
        rate = 300_000.0
        read = self.run_for(Bucket(0.0, rate), 20.0, 4)
        for start in range(19):
            count = sum(count for moment, count in read if start <= moment < start + 1)
            self.assertLess(count, rate + max(PIECE, rate / 4) + 4 * PIECE)
        total = sum(count for _, count in read)
        self.assertLess(total, 20 * rate + PIECE + 4 * PIECE)
        self.assertGreater(total, 0.95 * 20 * rate)

    def test_without_a_bound_nobody_waits(self):
        bucket = Bucket(0.0)
        self.assertEqual([bucket.spend(0.0, 10 ** 9) for _ in range(3)], [0.0, 0.0, 0.0])
        self.assertEqual(bucket.spent(), 3 * 10 ** 9)

    def test_a_bound_that_is_lifted_ends_the_wait(self):
        bucket = Bucket(0.0, 1000.0)
        self.assertGreater(bucket.spend(0.0, 10 ** 6), 900)
        bucket.allow(1.0, None)
        self.assertEqual(bucket.due(1.0), 0.0)

    def test_a_bound_that_is_set_holds_at_once(self):
        bucket = Bucket(0.0)
        bucket.spend(0.0, 10 ** 9)
        bucket.allow(1.0, 100_000.0)
        self.assertGreater(bucket.spend(1.0, 200_000), 1.0)

    def test_a_pause_saves_up_one_burst_only(self):
        bucket = Bucket(0.0, 10 ** 6)
        self.assertGreater(bucket.spend(3600.0, 10 ** 6), 0.7)


class Strain(unittest.TestCase):
    def test_lag_and_latency_are_each_enough(self):
        self.assertFalse(is_strained(PACE, 1000, 100))
        self.assertTrue(is_strained(PACE, 1001, 0))
        self.assertTrue(is_strained(PACE, 0, 101))

    def test_what_is_not_known_is_no_strain(self):
        self.assertFalse(is_strained(PACE, None, None))


class Allowed(unittest.TestCase):
    def test_strain_halves_what_flows_until_the_floor(self):
        allowed = next_allowed(None, None, 8e6, True)
        self.assertEqual(allowed, 4e6)
        for _ in range(30):
            allowed = next_allowed(allowed, None, allowed, True)
        self.assertEqual(allowed, FLOOR)

    def test_the_floor_is_never_above_the_limit(self):
        self.assertEqual(next_allowed(1000.0, 1000.0, 1000.0, True), 1000.0)

    def test_it_comes_back_to_the_limit_and_no_further(self):
        allowed = FLOOR
        for _ in range(40):
            allowed = next_allowed(allowed, 5e6, allowed, False)
        self.assertEqual(allowed, 5e6)

    def test_without_a_limit_the_bound_goes_once_it_binds_nothing(self):
        allowed = 1e6
        for _ in range(20):
            allowed = next_allowed(allowed, None, min(allowed or 3e6, 3e6), False)
        self.assertIsNone(allowed)

    def test_a_new_limit_holds_at_once(self):
        self.assertEqual(next_allowed(None, 5e6, 9e6, False), 5e6)
        self.assertEqual(next_allowed(9e6, 5e6, 9e6, False), 5e6)
        self.assertEqual(next_allowed(5e6, None, 5e6, False), 6.25e6)


if __name__ == '__main__':
    unittest.main()
