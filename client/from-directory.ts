/**
 * Makes a client from a directory with the files of the Secret `<cluster>-app`, as a pod mounts it: `password`,
 * `database`, `ca.crt`, `map-url`, `map-token`, and where present `next-password`, `reference-password`, `map-ca.crt`.
 * Passwords and token are read again when they are refused, so a rotated Secret needs no restart.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from './client.ts';
import { createClient } from './create-client.ts';
import { ConfigurationError } from './errors.ts';
import type { ClientOptions, Credentials } from './options.ts';

export type DirectoryOptions = Omit<ClientOptions, 'map' | 'database' | 'credentials'> & {
  /** See ClientOptions.map.file. */
  readonly mapFile?: string;
};

/** Rejects with ConfigurationError when a file is missing. */
export async function createClientFromDirectory(
  path: string,
  options: DirectoryOptions = {},
): Promise<Client> {
  const { mapFile, ...rest } = options;
  const [url, database, mapCa] = await Promise.all([
    required(path, 'map-url'),
    required(path, 'database'),
    optional(path, 'map-ca.crt'),
  ]);
  await readCredentials(path);
  return createClient({
    ...rest,
    database,
    credentials: () => readCredentials(path),
    map: {
      url,
      token: () => required(path, 'map-token'),
      ...(mapCa === undefined ? {} : { ca: mapCa }),
      ...(mapFile === undefined ? {} : { file: mapFile }),
    },
  });
}

async function readCredentials(path: string): Promise<Credentials> {
  const [password, nextPassword, referencePassword, ca] = await Promise.all([
    required(path, 'password'),
    optional(path, 'next-password'),
    optional(path, 'reference-password'),
    optional(path, 'ca.crt'),
  ]);
  return {
    password,
    ...(nextPassword === undefined ? {} : { nextPassword }),
    ...(referencePassword === undefined ? {} : { referencePassword }),
    ...(ca === undefined ? {} : { ca }),
  };
}

async function required(path: string, file: string): Promise<string> {
  const text = await optional(path, file);
  if (text !== undefined) return text;
  throw new ConfigurationError(
    `${join(path, file)} is missing or empty`,
    'Mount the whole Secret <cluster>-app there.',
  );
}

async function optional(path: string, file: string): Promise<string | undefined> {
  try {
    const text = (await readFile(join(path, file), 'utf8')).trim();
    return text === '' ? undefined : text;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
