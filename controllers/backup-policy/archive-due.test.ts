/** When old rows are archived: once a day, never while it is not safe. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ArchiveInput, archiveDue } from './archive-due.ts';

const archive = {
  tables: [{ name: 'messages', column: 'created_at', olderThan: '366d' }],
  format: 'parquet',
  deleteAfter: true,
} as const;
const now = new Date('2026-11-21T12:00:00Z');
const input: ArchiveInput = {
  shard: 'social-0',
  archive: { ...archive, tables: [...archive.tables] },
  encrypted: false,
  paused: false,
  serving: true,
  migrating: false,
  job: undefined,
  now,
};
const hoursAgo = (hours: number) => new Date(now.getTime() - hours * 3_600_000);
const ended = (hours: number) => ({ created: hoursAgo(hours), running: false });

describe('a shard', () => {
  test.each<[string, Partial<ArchiveInput>, string]>([
    ['without a run begins one', {}, 'Start'],
    ['with one under way waits', { job: { created: hoursAgo(1), running: true } }, 'Nothing'],
    ['with one of the day before makes room for the next', { job: ended(25) }, 'RemoveJob'],
    ['with one of a moment ago waits for the next day', { job: ended(0) }, 'Wait'],
    ['in a migration is left alone', { migrating: true }, 'Nothing'],
    ['that met a migration waits a while', { job: { ...ended(0), failure: 'Migrating' } }, 'Wait'],
    [
      'that met a migration is tried again after it',
      { job: { ...ended(1), failure: 'Migrating' } },
      'RemoveJob',
    ],
    ['that is paused is left alone', { paused: true }, 'Nothing'],
    ['without a primary is left alone', { serving: false }, 'Nothing'],
    ['whose backups are encrypted is refused', { encrypted: true }, 'Refused'],
    ['of a policy that archives nothing is left alone', { archive: undefined }, 'Nothing'],
    ['of a policy that archives no more loses its Job', { archive: undefined, job: ended(1) }, 'RemoveJob'],
  ])('%s', (_, over, kind) => {
    expect(archiveDue({ ...input, ...over }).kind).toBe(kind);
  });

  test('is archived exactly once in any day, whenever it is looked at', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40_000 }), { maxLength: 60 }),
        fc.string(),
        (gaps, shard) => {
          const starts: number[] = [];
          let at = now.getTime();
          let job: ArchiveInput['job'];
          for (const gap of gaps) {
            at += gap * 1000;
            const due = archiveDue({ ...input, shard, job, now: new Date(at) });
            if (due.kind === 'RemoveJob') job = undefined;
            if (due.kind !== 'Start') continue;
            starts.push(due.planned.getTime());
            job = { created: new Date(at), running: false };
          }
          expect(new Set(starts).size).toBe(starts.length);
        },
      ),
    );
  });

  test('waits for a moment that has not come', () => {
    const due = archiveDue({ ...input, job: ended(0) });
    expect(due.kind === 'Wait' && due.until.getTime() - now.getTime()).toBeGreaterThan(0);
    expect(due.kind === 'Wait' && due.until.getTime() - now.getTime()).toBeLessThanOrEqual(86_400_000);
  });
});
