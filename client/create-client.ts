/** Makes a client from values. Nothing is opened before the first call. */
import type { Client } from './client.ts';
import type { ClientOptions } from './options.ts';

export function createClient(_options: ClientOptions): Client {
  throw new Error('not written yet');
}
