import { describe, expect, test } from 'vitest';
import { FakeDatabases } from '#controllers/testing/fake-database.ts';
import { shardWith } from '#controllers/testing/objects.ts';
import type { SchemaFile } from '#engines/engine.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import type { Request } from '#kernel/source.ts';
import { apply, schemaDue } from './schema.ts';
import { SchemaRuns } from './schema-runs.ts';

const schema = { configMaps: [{ name: 'sql' }], hash: 'h1' };
const shard = shardWith({ schema });
const failed = (hash: string) => ({ schema: { files: 0, failed: { file: 'f', message: 'm', hash } } });

describe('files are due', () => {
  test.each([
    ['at first', shard, {}, true],
    ['when they are others', shard, { schema: { hash: 'h0', files: 1 } }, true],
    ['once', shard, { schema: { hash: 'h1', files: 1 } }, false],
    ['not when they failed as they are', shard, failed('h1'), false],
    ['when they were changed since they failed', shard, failed('h0'), true],
    ['not where there are none', shardWith(), {}, false],
  ] as const)('%s', (_what, of, measured, due) => {
    expect(schemaDue(of, measured)).toBe(due);
  });
});

async function applied(...files: SchemaFile[]) {
  const target = { primary: { name: 'p', host: 'h' }, ca: '', passwords: { superuser: '', rest: '' } };
  const engine = new FakeDatabases().engine(postgresql);
  await using session = await engine.connect(shard, target, AbortSignal.timeout(1000));
  return apply(session, files, 'h1');
}

const good = { name: 'sql/1', sql: 'x' };

describe('of applying comes', () => {
  test('that all are applied', async () => {
    expect(await applied(good)).toEqual({ applied: ['sql/1'], schema: { hash: 'h1', files: 1 } });
  });

  test('a failure with the file and what the server said, after the files before it', async () => {
    const outcome = await applied(good, { name: 'sql/2', sql: 'BROKEN' });
    expect(outcome).toMatchObject({
      applied: ['sql/1'],
      schema: { files: 1, failed: { file: 'sql/2', hash: 'h1' } },
    });
    expect(outcome.schema?.failed?.message).toContain('syntax error');
  });

  test('that they are tried again, where a running migration refuses one', async () => {
    const outcome = await applied(good, { name: 'sql/2', sql: 'MOVING' });
    expect(outcome).toEqual({ applied: ['sql/1'], trouble: expect.stringContaining('Correct the file') });
  });
});

function runs() {
  const woken: Record<'orders' | 'outcomes', Request[]> = { orders: [], outcomes: [] };
  const made = new SchemaRuns();
  made.orders.subscribe(request => woken.orders.push(request));
  made.outcomes.subscribe(request => woken.outcomes.push(request));
  return { made, woken };
}

describe('between the two controllers', () => {
  const result = { hash: 'h1', files: 2 };

  test('an order wakes the one, and what came of it the other', () => {
    const { made, woken } = runs();
    expect(made.isOrdered(shard)).toBe(false);
    made.order(shard);
    expect(woken).toEqual({ orders: [{ namespace: 'default', name: 'social-0' }], outcomes: [] });
    made.tell(shard, { applied: ['1'], schema: result });
    expect(made.isOrdered(shard)).toBe(false);
    expect(woken.outcomes).toHaveLength(1);
  });

  test('what is tried again stays ordered, and tells of its trouble once', () => {
    const { made, woken } = runs();
    made.order(shard);
    for (let tries = 0; tries < 3; tries++) made.tell(shard, { applied: [], trouble: 'in the way' });
    expect(made.isOrdered(shard)).toBe(true);
    expect(woken.outcomes).toHaveLength(1);
  });

  test('what was applied wants its grants until it has them, through further tries', () => {
    const { made } = runs();
    made.order(shard);
    made.tell(shard, { applied: ['1'], trouble: 'in the way' });
    const seen = made.outcome(shard);
    made.tell(shard, { applied: ['2'], schema: result });
    if (seen) made.settle(shard, seen);
    expect(made.outcome(shard)).toEqual({ applied: ['1', '2'], schema: result });
    const last = made.outcome(shard);
    if (last) made.settle(shard, last);
    expect(made.outcome(shard)).toBeUndefined();
  });

  test('a shard that was made again has nothing ordered', () => {
    const { made } = runs();
    made.order(shard);
    const again = { ...shard, metadata: { ...shard.metadata, uid: 'another' } };
    expect(made.isOrdered(again)).toBe(false);
  });
});
