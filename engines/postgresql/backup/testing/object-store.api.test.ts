import { expect, test } from 'vitest';
import { ensureTool } from '#hack/tools.ts';
import { startObjectStore } from './object-store.ts';

test('objects are kept over a stop, can be damaged and removed, and old credentials are refused', async () => {
  await using store = await startObjectStore({ program: await ensureTool('versitygw') });
  const before = store.objects;
  await before.put('a/b', 'content');
  await store.stop();
  await expect(before.list()).rejects.toThrow(/ECONNREFUSED/);
  await store.resume();
  expect(await before.list('a/')).toMatchObject([{ key: 'a/b', bytes: 7 }]);

  await before.corrupt('a/b');
  const damaged = await before.get('a/b');
  expect(damaged).toHaveLength(7);
  expect(Buffer.from(damaged).toString()).not.toBe('content');

  await store.changeCredentials();
  await expect(before.list()).rejects.toThrow(/access key/i);
  await store.objects.delete('a/b');
  expect(await store.objects.list()).toEqual([]);
});
