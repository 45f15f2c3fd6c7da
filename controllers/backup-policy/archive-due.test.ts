/** When old rows are archived, and which shards are left alone. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ArchiveOutcome } from '#archive/outcome.ts';
import type { ColdTier } from '#crds/api/backup/cold-tier.ts';
import { schedule as scheduleSchema } from '#crds/api/backup/plan.ts';
import { parseShardMigration } from '#crds/api/shard-migration.ts';
import { dueArchive, isPutOff } from './archive-due.ts';
import { migratingShards } from './archiving-shards.ts';
import { requestName } from './requests.ts';
import { stepArchives } from './shard-archives.ts';
import { timetable } from './timetable.ts';

const schedule = scheduleSchema.parse({ full: '0 2 * * 0', jitter: '0s' });
const now = new Date('2026-11-21T12:00:00Z');
const times = timetable(schedule, now, '0 1 * * *');
const today = '2026-11-21T01:00:00.000Z';
const input = { shard: 'social-0', askedOfAll: undefined, suspend: false, times };
const due = (coldTier: ColdTier, over: Partial<typeof input> | { askedOfAll: string } = {}) =>
  dueArchive({ ...input, coldTier, ...over })?.planned.toISOString();

const failed = (attempts: number, time: string): ColdTier => ({
  served: '2026-11-20T00:00:00Z',
  attempts,
  last: {
    request: '',
    time,
    succeeded: false,
    rows: 0,
    files: 0,
    bytes: 0,
    deleted: 0,
    kept: 0,
    tables: [],
  },
});

const migration = (name: string, spec: object, status?: object) =>
  parseShardMigration({
    apiVersion: 'shardwright.io/v1alpha1',
    kind: 'ShardMigration',
    metadata: { name },
    spec: { cluster: { name: 'social' }, ...spec },
    ...(status ? { status } : {}),
  });

describe('a shard', () => {
  test.each<[string, ColdTier, Parameters<typeof due>[1], string | undefined]>([
    ['that is new today waits for tomorrow', { served: '2026-11-21T11:00:00Z' }, {}, undefined],
    ['whose moment has come', { served: '2026-11-20T23:00:00Z' }, {}, today],
    ['that missed many moments is archived once', { served: '2026-10-01T00:00:00Z' }, {}, today],
    ['whose moment is done with', { served: today }, {}, undefined],
    ['of a suspended policy', { served: '2026-11-20T23:00:00Z' }, { suspend: true }, undefined],
    [
      'that was asked for by hand',
      { served: today, asked: '2026-11-21T11:59:00Z' },
      { suspend: true },
      '2026-11-21T11:59:00.000Z',
    ],
    [
      'of which all were asked for',
      { served: today },
      { askedOfAll: '2026-11-21T11:58:00Z' },
      '2026-11-21T11:58:00.000Z',
    ],
    [
      'for whom that is done',
      { served: '2026-11-21T11:58:00Z' },
      { askedOfAll: '2026-11-21T11:58:00Z' },
      undefined,
    ],
  ])('%s', (_, coldTier, over, planned) => {
    expect(due(coldTier, over)).toBe(planned);
  });

  test.each<[string, ColdTier, boolean, boolean]>([
    ['is tried again a minute after a failure, not before', failed(1, '2026-11-21T11:59:30Z'), false, true],
    ['is tried again a minute after a failure', failed(1, '2026-11-21T11:58:59Z'), false, false],
    ['waits longer each time', failed(4, '2026-11-21T11:53:00Z'), false, true],
    ['waits for an hour at most', failed(40, '2026-11-21T10:59:59Z'), false, false],
    ['that is asked for after a failure does not wait', failed(40, '2026-11-21T00:59:59Z'), true, false],
    [
      'that is asked for in the second of a failure does not wait',
      failed(40, '2026-11-21T01:00:00Z'),
      true,
      false,
    ],
    ['that was asked for before a failure waits', failed(40, '2026-11-21T11:59:59Z'), true, true],
  ])('%s', (_, coldTier, asked, putOff) => {
    expect(isPutOff({ planned: new Date(today), asked }, coldTier, now)).toBe(putOff);
  });

  test('is archived exactly once for any moment, whenever it is looked at', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40_000 }), { maxLength: 40 }), gaps => {
        const planned: string[] = [];
        let at = now.getTime();
        let { coldTier } = stepArchives(undefined, undefined, now);
        for (const gap of gaps) {
          at += gap * 1000;
          const found = dueArchive({
            ...input,
            coldTier,
            times: timetable(schedule, new Date(at), '0 1 * * *'),
          });
          if (!found) continue;
          planned.push(found.planned.toISOString());
          const request = requestName({ what: 'archive', planned: found.planned, attempt: 0 });
          const created = new Date(at).toISOString();
          const job = {
            name: '',
            namespace: '',
            uid: '',
            request,
            created,
            message: undefined,
            ended: created,
          };
          const report: ArchiveOutcome = { kind: 'Archive', at: created, state: 'Succeeded', tables: [] };
          ({ coldTier } = stepArchives(coldTier, { ...job, state: 'Complete', report }, new Date(at)));
        }
        expect(new Set(planned).size).toBe(planned.length);
        const days = new Set(planned.map(time => time.slice(0, 10)));
        expect(days.size).toBe(planned.length);
      }),
    );
  });
});

test('shards that a migration names or has found are left alone until it has ended, those of a dry run are not', () => {
  const partition = { kind: 'slots', slots: 256, ranges: [] };
  const transfers = [
    { id: 't', source: 'social-0', target: 'social-4', partition, whole: false, targetEmpty: true },
  ];
  const found = migratingShards([
    migration('split', { split: { shard: 'social-0' } }, { phase: 'BulkCopy', transfers }),
    migration('slots', { slots: { from: 'social-1', to: 'social-2', ranges: [{ first: 0, last: 1 }] } }),
    migration('done', { move: { shard: 'social-5', region: 'b' } }, { phase: 'Completed' }),
    migration('dry', { move: { shard: 'social-6', region: 'b' }, dryRun: true }),
  ]);
  expect(Object.fromEntries(found)).toEqual({
    'social-0': 'split',
    'social-1': 'slots',
    'social-2': 'slots',
    'social-4': 'split',
  });
});
