/** An object store in memory, for tests of what is stored when. */
import type { ObjectStore } from '../store/object-store.ts';

export class MemoryStore implements ObjectStore {
  readonly objects = new Map<string, Uint8Array>();

  put(key: string, body: Uint8Array): Promise<void> {
    this.objects.set(key, Uint8Array.from(body));
    return Promise.resolve();
  }

  get(key: string): Promise<Uint8Array | undefined> {
    const found = this.objects.get(key);
    return Promise.resolve(found && Uint8Array.from(found));
  }

  list(prefix: string, what: 'objects' | 'folders' = 'objects'): Promise<readonly string[]> {
    const keys = [...this.objects.keys()].filter(key => key.startsWith(prefix)).toSorted();
    if (what === 'objects') return Promise.resolve(keys);
    const folders = keys.flatMap(key => {
      const slash = key.indexOf('/', prefix.length);
      return slash === -1 ? [] : [key.slice(0, slash + 1)];
    });
    return Promise.resolve([...new Set(folders)]);
  }

  delete(key: string): Promise<void> {
    this.objects.delete(key);
    return Promise.resolve();
  }
}
