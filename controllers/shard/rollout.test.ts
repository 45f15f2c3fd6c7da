import { describe, expect, test } from 'vitest';
import { member } from '#controllers/testing/objects.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { Member } from './locked-out.ts';
import { allowedReplicas, decideRollout, type RolloutStep } from './rollout.ts';

const primary = (name: string, over: Partial<Member> = {}): Member => ({
  ...member(name, { role: 'primary' }),
  ...over,
});
const sync = (name: string, over: Partial<Member> = {}): Member => ({
  ...member(name, { synchronous: true }),
  ...over,
});
const old = { outdated: true };
const lockedOut = { ...old, lockedOut: true } as const;
const down = { ready: false };
const restart = { pendingRestart: true };

const cases: [what: string, members: Member[], options: object, step: string][] = [
  ['nothing to do', [primary('s-0'), sync('s-1')], {}, 'Done'],
  ['no members yet', [], {}, 'Done'],
  ['a replica goes before the primary', [primary('s-0', old), sync('s-1', old)], {}, 'ReplacePod s-1'],
  ['then the primary hands over', [primary('s-0', old), sync('s-1')], {}, 'Switchover s-0 s-1'],
  [
    'for changed settings not before the replicas have had the time to see them',
    [primary('s-0', restart), sync('s-1')],
    { settled: false },
    'Wait',
  ],
  ['and then it does', [primary('s-0', restart), sync('s-1')], {}, 'Switchover s-0 s-1'],
  [
    'a replica that has seen them restarts at once',
    [primary('s-0', restart), sync('s-1', restart)],
    { settled: false },
    'RestartMember s-1',
  ],
  [
    'and so does a lone primary',
    [primary('s-0', restart)],
    { settled: false, wanted: 1 },
    'RestartMember s-0',
  ],
  ['then it is a replica like any other', [sync('s-0', old), primary('s-1')], {}, 'ReplacePod s-0'],
  [
    'one that is locked out cannot hand over: it is replaced last, without a switchover',
    [primary('s-0', lockedOut), sync('s-1')],
    {},
    'ReplacePod s-0',
  ],
  [
    'and not before another may take over',
    [primary('s-0', lockedOut), member('s-1')],
    { strong: true },
    'Wait',
  ],
  [
    'replicas that are locked out go first, like all others',
    [primary('s-0', lockedOut), sync('s-1', lockedOut)],
    {},
    'ReplacePod s-1',
  ],
  [
    'the asynchronous replica goes first',
    [primary('s-0', old), sync('s-1', old), member('s-2', old)],
    { wanted: 3 },
    'ReplacePod s-2',
  ],
  [
    'of two alike the highest goes first',
    [primary('s-0'), member('s-1', old), member('s-2', old)],
    { wanted: 3 },
    'ReplacePod s-2',
  ],
  [
    'not while another is down',
    [primary('s-0', old), member('s-1', old), member('s-2', down)],
    { wanted: 3 },
    'Wait',
  ],
  ['not while another is missing', [primary('s-0', old), sync('s-1', old)], { wanted: 3 }, 'Wait'],
  [
    'an outdated one that is down goes at once',
    [primary('s-0', old), member('s-1', { ...old, ...down })],
    {},
    'ReplacePod s-1',
  ],
  ['also without a primary', [member('s-0', down), member('s-1', { ...old, ...down })], {}, 'ReplacePod s-1'],
  [
    'a primary that is down alone is not touched',
    [primary('s-0', { ...old, ...down }), sync('s-1')],
    {},
    'Wait',
  ],
  [
    'unless everything is down',
    [primary('s-0', { ...old, ...down }), member('s-1', down)],
    {},
    'ReplacePod s-0',
  ],
  ['nothing without a primary', [member('s-0', old), member('s-1', old)], {}, 'Wait'],
  [
    'strong: no switchover to an asynchronous replica',
    [primary('s-0', old), member('s-1')],
    { strong: true },
    'Wait',
  ],
  ['eventual: it will do', [primary('s-0', old), member('s-1')], { strong: false }, 'Switchover s-0 s-1'],
  [
    'eventual: the synchronous one is preferred',
    [primary('s-0', old), member('s-1'), sync('s-2')],
    { wanted: 3 },
    'Switchover s-0 s-2',
  ],
  ['a lone member is replaced', [primary('s-0', old)], { wanted: 1 }, 'ReplacePod s-0'],
  [
    'without switchover the primary is replaced',
    [primary('s-0', old), sync('s-1')],
    { switchover: false },
    'ReplacePod s-0',
  ],
  [
    'settings: the replica restarts first',
    [primary('s-0', restart), sync('s-1', restart)],
    {},
    'RestartMember s-1',
  ],
  ['settings: then the primary hands over', [primary('s-0', restart), sync('s-1')], {}, 'Switchover s-0 s-1'],
  ['settings: a lone member restarts', [primary('s-0', restart)], { wanted: 1 }, 'RestartMember s-0'],
  [
    'a new template makes a restart needless',
    [primary('s-0'), sync('s-1', { ...old, ...restart })],
    {},
    'ReplacePod s-1',
  ],
  [
    'fewer members: the primary moves to one that stays',
    [sync('s-0'), primary('s-1')],
    { wanted: 1 },
    'Switchover s-1 s-0',
  ],
  ['fewer members: one that goes is not renewed', [primary('s-0'), sync('s-1', old)], { wanted: 1 }, 'Done'],
  ['fewer members: nowhere to move to', [sync('s-0', down), primary('s-1')], { wanted: 1 }, 'Wait'],
];

function words(step: RolloutStep): string {
  switch (step.kind) {
    case 'Switchover':
      return `Switchover ${step.from.name} ${step.to.name}`;
    case 'ReplacePod':
    case 'RestartMember':
      return `${step.kind} ${step.member.name}`;
    case 'Done':
    case 'Wait':
      return step.kind;
    default:
      return assertNever(step);
  }
}

describe('renewing members', () => {
  test.each(cases)('%s', (_what, members, options, step) => {
    const wanted = members.length === 0 ? 2 : members.length;
    expect(
      words(decideRollout({ members, wanted, strong: true, switchover: true, settled: true, ...options })),
    ).toBe(step);
  });

  test('whatever the state, a ready member only goes while all others are ready', () => {
    const kinds: Partial<Member>[] = [{}, old, down, { ...old, ...down }, restart, { synchronous: true }];
    const wrong = kinds
      .flatMap(a =>
        kinds.flatMap(b => kinds.map(c => [primary('s-0', a), member('s-1', b), member('s-2', c)])),
      )
      .filter(members => {
        const step = decideRollout({ members, wanted: 3, strong: true, switchover: true, settled: true });
        if (step.kind === 'ReplacePod') return step.member.ready && members.some(each => !each.ready);
        return step.kind === 'Switchover' && !(step.to.ready && step.to.synchronous);
      });
    expect(wrong).toEqual([]);
  });
});

test.each([
  ['created with what is wanted', [], 3, undefined, 3],
  ['up at once', [primary('s-0')], 3, 2, 3],
  ['down when the primary stays', [primary('s-0'), member('s-1')], 1, 2, 1],
  ['not while the primary is one that goes', [member('s-0'), primary('s-1')], 1, 2, 2],
  ['not while nobody is primary', [member('s-0'), member('s-1')], 1, 2, 2],
] as const)('replicas: %s', (_what, members, wanted, current, allowed) => {
  expect(allowedReplicas(members, wanted, current)).toBe(allowed);
});
