import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { NotFoundError } from '#kernel/errors.ts';
import { createLog } from '#kernel/log.ts';

function capture() {
  const lines: Record<string, unknown>[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()));
      done();
    },
  });
  return { lines, log: createLog({ level: 'info', name: 'test', destination }) };
}

it('writes one JSON object per line, with what its parents carry', () => {
  const { lines, log } = capture();
  log.child({ controller: 'shard' }).child({ name: 'a' }).info({ shard: 's' }, 'applying');
  log.debug({}, 'not at this level');
  expect(lines).toEqual([
    {
      level: 'info',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      msg: 'applying',
      name: 'a',
      controller: 'shard',
      shard: 's',
    },
  ]);
});

it('never writes a secret', () => {
  const { lines, log } = capture();
  log.info(
    {
      password: 'hidden',
      user: { token: 'hidden' },
      secret: { data: 'hidden' },
      request: { headers: { authorization: 'hidden' } },
      files: { 'tls.key': 'hidden', 'tls.crt': 'shown' },
      key: 'ns/name',
    },
    'connecting',
  );
  const text = JSON.stringify(lines);
  expect(text).not.toContain('hidden');
  expect(text).toContain('shown');
  expect(text).toContain('ns/name');
});

it('writes an error with its code and what to do, and nothing that hangs on it', () => {
  const { lines, log } = capture();
  const error = new NotFoundError(404, { message: 'gone' }, { verb: 'get', path: '/x' });
  Object.assign(error, { config: { everything: 'else' } });
  log.error({ err: error }, 'reconciling again after an error');
  expect(lines[0]?.['err']).toMatchObject({
    code: 'NotFound',
    message: 'get /x: gone',
    remedy: expect.any(String),
  });
  expect(JSON.stringify(lines)).not.toContain('everything');
});
