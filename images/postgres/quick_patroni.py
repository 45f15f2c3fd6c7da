"""Starts Patroni with shorter naps. In a few places it sleeps a whole second where what it waits for takes milliseconds:
until a started server answers, until a stopped one is gone, until the replicas have the last record of a primary that stops.
Each of these looks again after its nap and decides by what it sees, so a shorter one changes nothing but the time."""
import functools
import sys
import time

NAP = 0.1


class ShorterNaps:
    """The module `time`, but for one number. Longer sleeps are there for others to act, and stay."""

    def __getattr__(self, name):
        return getattr(time, name)

    @staticmethod
    def sleep(seconds):
        time.sleep(NAP if seconds == 1 else seconds)


def main():
    # In this order: the two import each other.
    import patroni.postgresql
    import patroni.ha
    from patroni.__main__ import main as patroni_main
    patroni.ha.time = ShorterNaps()
    patroni.postgresql.time = ShorterNaps()
    patroni.postgresql.STOP_POLLING_INTERVAL = NAP
    patroni.postgresql.polling_loop = functools.partial(patroni.postgresql.polling_loop, interval=NAP)
    sys.exit(patroni_main())


if __name__ == '__main__':
    main()
