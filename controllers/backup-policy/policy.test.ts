/** Bindings, problems, and what is worth writing. */
import { describe, expect, test } from 'vitest';
import { policySpec } from '#controllers/testing/backup-world.ts';
import { parseBackupPolicy } from '#crds/api/backup-policy.ts';
import { bindingOf, policyOf } from './bindings.ts';
import { isPolicyNews } from './policy-news.ts';
import { describeMs, problemsOf } from './problems.ts';
import { parseRequest, requestName } from './requests.ts';
import { detailsMs, isWorthWriting } from './shard-news.ts';

function policy(name: string, clusters: object, created = '2026-01-01T00:00:00Z') {
  return parseBackupPolicy({
    apiVersion: 'shardwright.io/v1alpha1',
    kind: 'BackupPolicy',
    metadata: { name, namespace: 'default', creationTimestamp: created },
    spec: { ...policySpec, clusters },
  });
}

const cluster = (name: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'shardwright.io/v1alpha1',
  kind: 'ShardCluster',
  metadata: { name, namespace: 'default', labels },
});

describe('which policy a fleet is under', () => {
  const clusters = [cluster('a', { tier: 'gold' }), cluster('b', { tier: 'tin' }), cluster('c')];
  const under = (of: object) => bindingOf(policy('p', of), [], clusters).clusters;

  test.each([
    [{ names: ['a', 'c'] }, ['a', 'c']],
    [{ selector: { matchLabels: { tier: 'gold' } } }, ['a']],
    [
      { selector: { matchExpressions: [{ key: 'tier', operator: 'In', values: ['gold', 'tin'] }] } },
      ['a', 'b'],
    ],
    [{ selector: { matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['gold'] }] } }, ['b', 'c']],
    [{ selector: { matchExpressions: [{ key: 'tier', operator: 'Exists' }] } }, ['a', 'b']],
    [{ selector: { matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] } }, ['c']],
    [{ selector: {} }, ['a', 'b', 'c']],
  ])('%j: %j', (of, names) => {
    expect(under(of)).toEqual(names);
  });

  test('of several the oldest, by name where they are as old', () => {
    const [young, old, same] = [
      policy('a-young', { names: ['a'] }, '2026-02-01T00:00:00Z'),
      policy('old', { selector: {} }),
      policy('older-by-name', { names: ['a', 'gone'] }),
    ];
    const all = [young, old, same];
    expect(policyOf(clusters[0]!, all)).toBe(old);
    expect(bindingOf(same, all, clusters)).toEqual({
      clusters: [],
      taken: [{ cluster: 'a', by: 'old' }],
      missing: ['gone'],
    });
    const leaving = { ...old, metadata: { ...old.metadata, deletionTimestamp: '2026-03-01T00:00:00Z' } };
    expect(policyOf(clusters[0]!, [young, leaving, same])).toBe(same);
  });
});

const problems = (spec: object, engines = [{ leastRpo: { seconds: 4, because: '1 s + 3 s' } }]) =>
  problemsOf({
    spec: parseBackupPolicy({ ...policy('p', { names: ['a'] }), spec: { ...policySpec, ...spec } }).spec,
    binding: { clusters: ['a'], taken: [], missing: [] },
    engines,
    now: new Date('2026-03-16T12:00:00Z'),
  });

describe('what is refused, with the arithmetic', () => {
  test('nothing is wrong', () => {
    expect(problems({})).toEqual([]);
    expect(problems({ retention: { full: '1' } })).toEqual([]);
  });

  test.each([
    [
      { objectives: { rpo: '2s', rto: '5m' } },
      'ObjectiveOutOfReach',
      'spec.objectives.rpo is 2s, and the least that can be kept is 4s: 1 s + 3 s; set it to 4s or more',
    ],
    [
      { retention: { full: '2d' } },
      'RetentionTooShort',
      'spec.retention.full keeps a full backup for 2d, and by spec.schedule.full the next one comes only after 7d',
    ],
    [{ schedule: { full: '0 2 30 2 *' } }, 'ScheduleInvalid', 'spec.schedule.full: "0 2 30 2 *" never comes'],
    [
      { drill: { schedule: '5/7 * * * *' } },
      'ScheduleInvalid',
      'spec.drill.schedule: "5/7 * * * *" is no cron',
    ],
  ])('%j: %s', (spec, reason, message) => {
    const [first, ...more] = problems(spec);
    expect(more).toEqual([]);
    expect(first).toMatchObject({ reason, plan: true });
    expect(first?.message).toContain(message);
  });

  test('an engine that makes no backups', () => {
    const found = problemsOf({
      spec: policy('p', { names: ['a'] }).spec,
      binding: { clusters: ['a'], taken: [], missing: [] },
      engines: [undefined],
      now: new Date('2026-03-16T12:00:00Z'),
    });
    expect(found.map(({ reason }) => reason)).toEqual(['EngineHasNoBackups']);
  });

  test('spans in words', () => {
    expect([describeMs(604_800_000), describeMs(5_400_000), describeMs(900), describeMs(0)]).toEqual([
      '7d',
      '1h30m',
      '1s',
      '0s',
    ]);
  });
});

test('a request names what it is for', () => {
  const parts = { what: 'full', planned: new Date('2026-03-15T02:00:00Z'), attempt: 2 } as const;
  expect(requestName(parts)).toBe('full-20260315t020000z-2');
  expect(parseRequest('full-20260315t020000z-2')).toEqual(parts);
  expect(parseRequest('full-of-something')).toBeUndefined();
});

const saying = (message: string, status: 'True' | 'False' = 'False') => ({
  conditions: [{ type: 'RPOMet', status, reason: 'Exceeded', message, lastTransitionTime: '' }],
});

describe('what is worth writing', () => {
  const archive = {
    at: '2026-03-16T12:00:00Z',
    rpoSeconds: 2,
    continuity: 'Verified',
    since: '2026-03-16T11:00:00Z',
    settingsVersion: 'here.10',
    timeline: 1,
    objects: 1,
    bytes: 1,
  } as const;
  const backup = { policy: 'p', since: '2026-03-16T11:00:00Z', place: 'here', archive };
  const options = { sinceWrittenMs: 5000, detailsMs: 30_000, objectiveSeconds: 10 };
  const late = { ...options, sinceWrittenMs: 30_000 };
  const shown = (rpoSeconds: number | undefined, over: object = {}) => ({
    backup: { ...backup, archive: { ...archive, ...over } },
    rpoSeconds,
  });

  test.each([
    ['a later report', shown(2), shown(2, { at: '2026-03-16T12:09:00Z' }), late, false],
    ['figures, at once', shown(2), shown(3, { objects: 2 }), options, false],
    ['figures, after a while', shown(2), shown(3, { objects: 2 }), late, true],
    ['a bound that grows', shown(2), shown(6), options, true],
    ['the first commit of an idle shard', shown(0), shown(1), options, true],
    ['a promise that breaks', shown(9.9), shown(10.1), options, true],
    ['what is not known any more', shown(2), shown(undefined), options, true],
    ['a hole', shown(2), shown(2, { continuity: 'Broken' }), options, true],
    ['a failure', shown(2), shown(2, { failure: 'no' }), options, true],
  ])('%s', (_what, before, after, how, worth) => {
    expect(isWorthWriting(before, after, how)).toBe(worth);
  });

  test('a large fleet writes its figures more slowly', () => {
    expect(detailsMs(10)).toBe(30_000);
    expect(detailsMs(2500)).toBe(125_000);
  });

  test('a policy: conditions at once, their wording later', () => {
    expect(isPolicyNews(saying('11s'), saying('11s'), 60_000)).toBe(false);
    expect(isPolicyNews(saying('11s'), saying('12s'), 1000)).toBe(false);
    expect(isPolicyNews(saying('11s'), saying('12s'), 30_000)).toBe(true);
    expect(isPolicyNews(saying('', 'True'), saying('11s'), 0)).toBe(true);
  });
});
