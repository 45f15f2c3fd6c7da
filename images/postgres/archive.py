"""Which segments the archive of a shard holds, as the store lists them now."""
import pgbackrest
import wal

IO_SECONDS = 20


class Archive:
    """`options`: of pgBackRest, where the repository is another than the settings say."""

    def __init__(self, stanza, segments, options=()):
        self.segments = segments
        self._stanza = stanza
        self._options = options

    def newest(self):
        """The name of the last segment of the newest timeline that has one, or None."""
        for folder in sorted(self._folders(), reverse=True):
            names = self._names(folder)
            if names:
                return max(names)
        return None

    def newest_at(self):
        """When the store had the last segment of the newest timeline; seconds of the epoch, or None."""
        for folder in sorted(self._folders(), reverse=True):
            names = self._names(folder)
            if names:
                return names[max(names)]
        return None

    def stored_at(self, number):
        """When the store had the segment of this number, on whatever timeline it first did; seconds of the epoch, or None."""
        wanted = self.segments.name(0, number)[8:]
        times = [found[name] for folder in self._folders() if folder[8:] == wanted[:8]
                 for found in [self._names(folder)] for name in found if name[8:] == wanted]
        return min(times, default=None)

    def _folders(self):
        """Of the database that is archived at present: each has its own number. `17-1` -> folders by 16 letters."""
        databases = [name for name in self._list('') if '-' in name and name.split('-')[-1].isdigit()]
        if not databases:
            return []
        self._database = max(databases, key=lambda name: int(name.split('-')[-1]))
        return [name for name in self._list(self._database) if len(name) == 16]

    def _names(self, folder):
        found = self._list(f'{self._database}/{folder}')
        return {name[:24]: entry['time'] for name, entry in found.items()
                if wal.is_segment(name[:24]) and name[24:25] == '-'}

    def _list(self, path):
        return pgbackrest.ask(self._stanza, 'repo-ls', *(self._options or [f'--io-timeout={IO_SECONDS}']),
                              f'archive/{self._stanza}/{path}') or {}
