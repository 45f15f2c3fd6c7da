import { describe, expect, test } from 'vitest';
import { FakeDatabases } from '#controllers/testing/fake-database.ts';
import { member, shardWith } from '#controllers/testing/objects.ts';
import type { MemberFacts, SchemaFile } from '#engines/engine.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import { accessHash, accessInput } from './access.ts';
import { sessionNeeds, sweepDue, workInSession } from './session-work.ts';
import type { Measured } from './status.ts';

const schema = { configMaps: [{ name: 'sql' }], hash: 'h1' };
const bare = shardWith();
const shard = shardWith({ schema });
const upToDate: Measured = { accessHash: accessHash(shard), schema: { hash: 'h1', files: 1 } };
const failed = (hash: string): Measured => ({
  ...upToDate,
  schema: { files: 0, failed: { file: 'f', message: 'm', hash } },
});

describe('a connection is worth it', () => {
  test.each([
    ['never when all is known', shard, upToDate, false, undefined],
    ['for new logins', bare, {}, false, { access: true, schema: false, statistics: false }],
    [
      'for new files',
      shard,
      { ...upToDate, schema: { hash: 'h0', files: 1 } },
      false,
      { access: false, schema: true, statistics: false },
    ],
    ['not for files that failed as they are', shard, failed('h1'), false, undefined],
    [
      'for files that were changed since they failed',
      shard,
      failed('h0'),
      false,
      { access: false, schema: true, statistics: false },
    ],
    ['to measure', shard, upToDate, true, { access: false, schema: false, statistics: true }],
  ] as const)('%s', (_what, of, measured, due, needs) => {
    expect(sessionNeeds(of, [], measured, due)).toEqual(needs);
  });

  test.each([
    ['generation', { generation: 2 }],
    ['reader generation', { readerGeneration: 2 }],
    ['state', { state: 'readonly' }],
    ['opt-in login', { access: { stableLogin: true } }],
    ['passwords', { secrets: { ...bare.spec.secrets, version: 'v2' } }],
  ])('the hash of access follows the %s', (_what, spec) => {
    expect(accessHash(shardWith(spec))).not.toBe(accessHash(bare));
  });

  test('and nothing else', () => {
    expect(accessHash(shardWith({ members: 3, image: 'x', schema }))).toBe(accessHash(bare));
  });
});

const primary = (timeline: number) => member('a', { role: 'primary', timeline });
const swept = (timeline: number, ...members: string[]): Measured => ({ swept: { timeline, members } });

describe('members are swept', () => {
  const b = member('b', { podIP: '10.0.0.2' });
  const askB = [{ name: 'b', host: '10.0.0.2' }];

  test.each([
    ['never on the first timeline', [primary(1), b], {}, undefined],
    ['never without a primary', [b], {}, undefined],
    ['on another one', [primary(2), b], {}, { timeline: 2, replicas: askB }],
    ['on one that came since', [primary(3), b], swept(2, 'b'), { timeline: 3, replicas: askB }],
    ['once', [primary(2), b], swept(2, 'b'), undefined],
    ['the primary at once', [primary(2), { ...b, ready: false }], {}, { timeline: 2, replicas: [] }],
    ['a replica when it is ready', [primary(2), b], swept(2), { timeline: 2, replicas: askB }],
    ['not one that is not', [primary(2), { ...b, ready: false }], swept(2), undefined],
  ] as const)('%s', (_what, members, measured, due) => {
    expect(sweepDue(members, measured)).toEqual(due);
  });

  test('a member that does not answer is asked again', async () => {
    const databases = new FakeDatabases();
    databases.silent.add('b');
    const members = [primary(2), b, member('c')];
    const first = await work(undefined, swept(1, 'b', 'c'), members, databases);
    expect(first.result.measured.swept).toEqual({ timeline: 2, members: ['c'] });
    databases.silent.clear();
    const second = await work(undefined, first.result.measured, members, databases);
    expect(second.database.swept).toEqual([['b', 'c'], ['b']]);
    expect(sweepDue(members, second.result.measured)).toBeUndefined();
  });
});

async function work(
  files: SchemaFile[] | undefined,
  before: Measured = {},
  members: readonly MemberFacts[] = [],
  databases = new FakeDatabases(),
) {
  const target = { primary: { name: 'p', host: 'h' }, ca: '', passwords: { superuser: '', rest: '' } };
  await using session = await databases.engine(postgresql).connect(shard, target, AbortSignal.timeout(1000));
  const needs = sessionNeeds(shard, members, before, true) ?? {
    access: false,
    schema: false,
    statistics: true,
  };
  const access = accessInput(shard, { app: 'a', reference: 'r' });
  const result = await workInSession(session, { shard, needs, access, files }, before);
  return { result, database: databases.of('default', 'social-0') };
}

describe('in a session', () => {
  test('logins, files and measures, and what was done is remembered', async () => {
    const { result, database } = await work([{ name: 'sql/1', sql: 'x' }]);
    expect(result.measured).toMatchObject({
      accessHash: accessHash(shard),
      secretsVersion: 'v1',
      schema: { hash: 'h1', files: 1 },
      referenceVersion: '0',
      state: 'active',
    });
    expect(database.access?.verifier).toBe('a');
    expect(sessionNeeds(shard, [], result.measured, false)).toBeUndefined();
  });

  test('a file that fails stops there, with its name and what the server said', async () => {
    const { result } = await work([
      { name: 'sql/1', sql: 'x' },
      { name: 'sql/2', sql: 'BROKEN' },
    ]);
    expect(result.measured.schema).toMatchObject({ files: 1, failed: { file: 'sql/2', hash: 'h1' } });
    expect(result.measured.schema?.failed?.message).toContain('syntax error');
    expect(sessionNeeds(shard, [], result.measured, false)).toBeUndefined();
  });

  test('a file that a running migration refuses is no failure of the file: it is tried again', async () => {
    await expect(work([{ name: 'sql/1', sql: 'MOVING' }])).rejects.toMatchObject({ retryable: true });
  });

  test('files that are not what the Shard was told of are left for later', async () => {
    const { result } = await work(undefined);
    expect(result.measured.schema).toBeUndefined();
    expect(sessionNeeds(shard, [], result.measured, false)).toMatchObject({ schema: true });
  });
});
