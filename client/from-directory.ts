/**
 * Makes a client from a directory with the files of the Secret `<cluster>-app`, as a pod mounts it: `password`,
 * `database`, `ca.crt`, `map-url`, `map-token`, and where present `next-password`, `reference-password`, `map-ca.crt`.
 */
import type { Client } from './client.ts';
import type { ClientOptions } from './options.ts';

export type DirectoryOptions = Omit<ClientOptions, 'map' | 'database' | 'credentials'> & {
  /** See ClientOptions.map.file. */
  readonly mapFile?: string;
};

export function createClientFromDirectory(_path: string, _options?: DirectoryOptions): Promise<Client> {
  return Promise.reject(new Error('not written yet'));
}
