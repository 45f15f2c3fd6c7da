import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigurationError } from './errors.ts';
import { createClientFromDirectory } from './from-directory.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'app-secret-'));
});
afterEach(() => rm(folder, { recursive: true }));

const files = {
  password: 'secret\n',
  database: 'social',
  'map-url': 'https://maps.system.svc/v1/maps/team/social',
  'map-token': 'token',
};

async function write(content: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(content)) await writeFile(join(folder, name), text);
}

describe('createClientFromDirectory', () => {
  it('takes a mounted Secret', async () => {
    await write(files);
    await using client = await createClientFromDirectory(folder);
    expect(client.map).toBeUndefined();
  });

  it.each(['password', 'database', 'map-url'])('names a file that is missing or empty: %s', async missing => {
    await write({ ...files, [missing]: ' \n' });
    await expect(createClientFromDirectory(folder)).rejects.toThrow(ConfigurationError);
    await rm(join(folder, missing));
    await expect(createClientFromDirectory(folder)).rejects.toThrow(join(folder, missing));
  });

  it('refuses an address that is none', async () => {
    await write({ ...files, 'map-url': 'maps.system.svc' });
    await expect(createClientFromDirectory(folder)).rejects.toThrow(/is not an address of a map/);
  });
});
