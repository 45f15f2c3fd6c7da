/** The little that the archive wants of an object store. Every method throws StoreError where the store fails. */

export interface ObjectStore {
  put(key: string, body: Uint8Array, contentType: string): Promise<void>;
  /** Undefined when there is no such object. */
  get(key: string): Promise<Uint8Array | undefined>;
  /** Full keys that begin with the prefix, in order; and with `folders` the folders right below it instead, each ending in `/`. */
  list(prefix: string, what?: 'objects' | 'folders'): Promise<readonly string[]>;
  /** No error when it is gone already. */
  delete(key: string): Promise<void>;
}
