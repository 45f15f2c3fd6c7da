/** The programs of the images are in Python; so are the tests of their pure parts, which are run from here like any other. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const folder = import.meta.dirname;
const files = readdirSync(folder).filter(name => name.startsWith('test_') && name.endsWith('.py'));

test.each(files)('%s', file => {
  // Without compiled files: they would change what an image is made of.
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' };
  expect(() =>
    execFileSync('python3', ['-W', 'error', join(folder, file)], { env, stdio: 'pipe', encoding: 'utf8' }),
  ).not.toThrow();
});
