"""Names and numbers of write-ahead log: which segment holds a position, which timeline a segment belongs to, which segments a
restore to the present needs. Pure. A position is a whole number of bytes; a segment's number is the same on all timelines."""


def position(text):
    """`16/B374D848` as a number."""
    high, low = text.split('/')
    return (int(high, 16) << 32) | int(low, 16)


def position_text(number):
    return f'{number >> 32:X}/{number & 0xFFFFFFFF:X}'


def is_segment(name):
    return len(name) == 24 and all(letter in '0123456789ABCDEF' for letter in name)


class Segments:
    def __init__(self, size):
        self.size = size
        self._per_log = 2 ** 32 // size

    def holding(self, place):
        """The segment with the last byte before `place`: once that one is kept, all up to `place` is."""
        return max(place - 1, 0) // self.size

    def start(self, number):
        return number * self.size

    def name(self, timeline, number):
        return f'{timeline:08X}{number // self._per_log:08X}{number % self._per_log:08X}'

    def number(self, name):
        return int(name[8:16], 16) * self._per_log + int(name[16:24], 16)


class Lineage:
    """The timelines that lead to the present one, oldest first, each with the position at which it ended."""

    def __init__(self, timeline, history=''):
        self.timeline = timeline
        self._ends = []
        for line in history.splitlines():
            fields = line.split('#')[0].split()
            if len(fields) >= 2:
                self._ends.append((int(fields[0]), position(fields[1])))

    def holds(self, timeline, place):
        """Whether what was written at `place` on that timeline is a part of the present."""
        if timeline == self.timeline:
            return True
        return any(timeline == each and place <= end for each, end in self._ends)

    def timeline_of(self, segments, number):
        """Recovery takes a segment from the newest timeline that began in it or before it."""
        for timeline, end in self._ends:
            if number < end // segments.size:
                return timeline
        return self.timeline

    def legs(self, begin, end):
        """The way from one position to another: (timeline, from, to) in turn."""
        legs = []
        for timeline, ended in self._ends:
            if begin < ended:
                legs.append((timeline, begin, min(ended, end)))
                begin = ended
        legs.append((self.timeline, begin, end))
        return [leg for leg in legs if leg[1] < leg[2]]

    def later_than(self, timeline):
        """Timelines after that one: recovery finds its way to them by their history files."""
        known = [each for each, _ in self._ends] + [self.timeline]
        return known[known.index(timeline) + 1:] if timeline in known else known


def needed(segments, lineage, first, end):
    """Names of the segments first..end-1, in order."""
    return [segments.name(lineage.timeline_of(segments, number), number) for number in range(first, end)]


def folders(names):
    """Where an archive keeps segments: by the first 16 letters of their names."""
    return sorted({name[:16] for name in names})
