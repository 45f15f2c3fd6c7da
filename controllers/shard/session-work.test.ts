import { describe, expect, test } from 'vitest';
import { FakeDatabases } from '#controllers/testing/fake-database.ts';
import { member, shardWith } from '#controllers/testing/objects.ts';
import type { MemberFacts } from '#engines/engine.ts';
import { postgresql } from '#engines/postgresql/engine.ts';
import { accessHash, accessInput } from './access.ts';
import { sessionNeeds, sweepDue, workInSession } from './session-work.ts';
import type { Measured } from './status.ts';

const shard = shardWith();
const upToDate: Measured = { accessHash: accessHash(shard) };
const nothing = { statistics: false, grants: false };

describe('a connection is worth it', () => {
  test.each([
    ['never when all is known', upToDate, nothing, undefined],
    ['for new logins', {}, nothing, { access: true, statistics: false }],
    ['for what files made', upToDate, { ...nothing, grants: true }, { access: true, statistics: false }],
    ['to measure', upToDate, { ...nothing, statistics: true }, { access: false, statistics: true }],
  ] as const)('%s', (_what, measured, due, needs) => {
    expect(sessionNeeds(shard, [], measured, due)).toEqual(needs);
  });

  test.each([
    ['generation', { generation: 2 }],
    ['reader generation', { readerGeneration: 2 }],
    ['state', { state: 'readonly' }],
    ['opt-in login', { access: { stableLogin: true } }],
    ['passwords', { secrets: { ...shard.spec.secrets, version: 'v2' } }],
  ])('the hash of access follows the %s', (_what, spec) => {
    expect(accessHash(shardWith(spec))).not.toBe(accessHash(shard));
  });

  test('and nothing else', () => {
    expect(accessHash(shardWith({ members: 3, image: 'x' }))).toBe(accessHash(shard));
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
    const first = await work(swept(1, 'b', 'c'), members, databases);
    expect(first.result.measured.swept).toEqual({ timeline: 2, members: ['c'] });
    databases.silent.clear();
    const second = await work(first.result.measured, members, databases);
    expect(second.database.swept).toEqual([['b', 'c'], ['b']]);
    expect(sweepDue(members, second.result.measured)).toBeUndefined();
  });
});

async function work(
  before: Measured = {},
  members: readonly MemberFacts[] = [],
  databases = new FakeDatabases(),
) {
  const target = { primary: { name: 'p', host: 'h' }, ca: '', passwords: { superuser: '', rest: '' } };
  await using session = await databases.engine(postgresql).connect(shard, target, AbortSignal.timeout(1000));
  const needs = sessionNeeds(shard, members, before, { statistics: true, grants: false });
  const access = accessInput(shard, { app: 'a', reference: 'r' });
  const result = await workInSession(
    session,
    { shard, needs: needs ?? { access: false, statistics: true }, access },
    before,
  );
  return { result, database: databases.of('default', 'social-0') };
}

test('what was done in a session is remembered', async () => {
  const { result, database } = await work();
  expect(result.measured).toMatchObject({
    accessHash: accessHash(shard),
    secretsVersion: 'v1',
    referenceVersion: '0',
    state: 'active',
  });
  expect(database.access?.verifier).toBe('a');
  expect(sessionNeeds(shard, [], result.measured, nothing)).toBeUndefined();
});
