import { describe, expect, it } from 'vitest';
import { type Condition, phaseConditions, setConditions, transitions } from '#kernel/conditions.ts';

const first = new Date('2026-01-01T00:00:00.789Z');
const later = new Date('2026-01-01T00:05:00Z');

function ready(status: 'True' | 'False', message = 'm'): Omit<Condition, 'lastTransitionTime'> {
  return { type: 'Ready', status, reason: 'R', message, observedGeneration: 1 };
}

describe('setConditions', () => {
  it('stamps a new condition in whole seconds', () => {
    expect(setConditions([], [ready('True')], first)).toEqual([
      { ...ready('True'), lastTransitionTime: '2026-01-01T00:00:00Z' },
    ]);
  });

  it('keeps the time while the status stays, whatever else changes', () => {
    const before = setConditions([], [ready('True')], first);
    const after = setConditions(before, [ready('True', 'other')], later);
    expect(after[0]).toMatchObject({ message: 'other', lastTransitionTime: '2026-01-01T00:00:00Z' });
  });

  it('moves the time when the status changes', () => {
    const before = setConditions([], [ready('True')], first);
    const after = setConditions(before, [ready('False')], later);
    expect(after[0]?.lastTransitionTime).toBe('2026-01-01T00:05:00Z');
  });

  it('returns an unchanged condition itself, and leaves others and their order alone', () => {
    const before = setConditions([], [{ ...ready('True'), type: 'Other' }, ready('True')], first);
    const after = setConditions(before, [ready('True')], later);
    expect(after.map(({ type }) => type)).toEqual(['Other', 'Ready']);
    expect(after[0]).toBe(before[0]);
    expect(after[1]).toBe(before[1]);
  });
});

function summary(conditions: readonly { type: string; status: string; reason: string }[]): string[] {
  return conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
}

describe('phaseConditions', () => {
  it('says of a ready object that nothing is going on', () => {
    const state = { phase: 'ready', reason: 'AllShardsReady', message: '4 of 4' } as const;
    expect(summary(phaseConditions(state, 3))).toEqual([
      'Ready=True AllShardsReady',
      'Reconciling=False Done',
      'Stalled=False NotStalled',
    ]);
  });

  it('tells waiting from being stuck', () => {
    const reconciling = phaseConditions({ phase: 'reconciling', reason: 'Starting', message: 'm' }, 3);
    expect(summary(reconciling)).toEqual([
      'Ready=False Starting',
      'Reconciling=True Starting',
      'Stalled=False NotStalled',
    ]);
    const stalled = phaseConditions({ phase: 'stalled', reason: 'NoRegion', message: 'm' }, 3);
    expect(summary(stalled)).toEqual([
      'Ready=False NoRegion',
      'Reconciling=False Stopped',
      'Stalled=True NoRegion',
    ]);
  });

  it('keeps an available object ready while it is being changed', () => {
    const state = { phase: 'reconciling', reason: 'Restarting', message: 'm' } as const;
    const conditions = phaseConditions(state, 3, { available: true });
    expect(conditions.slice(0, 2).map(({ status }) => status)).toEqual(['True', 'True']);
    expect(conditions.every(({ observedGeneration }) => observedGeneration === 3)).toBe(true);
  });
});

it('finds the conditions whose status differs', () => {
  const before = setConditions([], [ready('True'), { ...ready('False'), type: 'Stalled' }], first);
  const after = setConditions(
    before,
    [ready('False'), { ...ready('False', 'new text'), type: 'Stalled' }],
    later,
  );
  expect(transitions(before, after).map(({ type }) => type)).toEqual(['Ready']);
});
