/**
 * Random days of a fleet: what a person asks for and changes their mind about, faults of streams, databases and operators, in any
 * order. The rules of MigrationWorld hold at every instant; once the faults are over, every migration comes to an end that the
 * rules allow, and leaves nothing.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { MigrationWorld } from '#controllers/testing/migration-world.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { ENDED } from './facts.ts';

const operation = fc.constantFrom(
  { split: { shard: 'social-0', into: 2 } },
  { split: { shard: 'social-0', into: 3 } },
  { merge: { shards: ['social-0', 'social-1'] } },
  { move: { shard: 'social-1', region: 'us-east' } },
  { slots: { from: 'social-0', to: 'social-1', ranges: [{ first: 0, last: 31 }] } },
  { slots: { from: 'social-1', to: 'social-0', ranges: [{ first: 160, last: 191 }] } },
);

const shard = fc.constantFrom('social-0', 'social-1', 'social-2');

const event = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('pass'), times: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('crash'), after: fc.integer({ min: 0, max: 12 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cut') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('heal') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('loseForward') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('loseBack') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('unreachable'), shard }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('unready'), shard }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('undo') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('long') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('suspend'), value: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('abort') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('finish') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('schema'), shard }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('later'), minutes: fc.integer({ min: 1, max: 5 }) }),
  },
);

type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

const day = fc.record({
  operations: fc.array(operation, { minLength: 1, maxLength: 2 }),
  manual: fc.boolean(),
  events: fc.array(fc.tuple(fc.nat({ max: 1 }), event), { minLength: 5, maxLength: 40 }),
});

function heal(world: MigrationWorld): void {
  world.transfers.connect(true);
  world.transfers.undo = [];
  world.transfers.oldestTransactionSeconds = 0;
  for (const database of world.transfers.databases) database.unreachable = false;
  world.unready.clear();
  world.behind.clear();
}

function timesOf(what: Event): number {
  return 'times' in what ? what.times : 0;
}

async function happen(world: MigrationWorld, name: string, what: Event): Promise<void> {
  if (!world.exists(name)) return;
  switch (what.kind) {
    case 'pass':
      for (let left = timesOf(what); left > 0 && world.exists(name); left--) {
        const againMs = await world.pass(name);
        await world.clock.advance(Math.min(againMs ?? 1000, 5000));
        world.work();
      }
      return;
    case 'crash':
      world.crashAt = world.points + ('after' in what ? what.after : 0);
      return;
    case 'cut':
      return world.transfers.connect(false);
    case 'heal':
      return heal(world);
    case 'loseForward':
      return world.transfers.loseSlots('forward');
    case 'loseBack':
      return world.transfers.loseSlots('back');
    case 'unreachable':
      if ('shard' in what) world.transfers.of(what.shard).unreachable = true;
      return;
    case 'unready':
      if ('shard' in what) world.unready.add(what.shard);
      return;
    case 'undo':
      world.transfers.undo = ['LockTimeout'];
      return;
    case 'long':
      world.transfers.oldestTransactionSeconds = 30;
      return;
    case 'suspend':
      return world.edit(name, { suspend: 'value' in what && what.value });
    case 'abort':
      return world.edit(name, { abort: true });
    case 'delete':
      return world.delete(name);
    case 'finish':
      return world.annotate(name, { 'shardwright.io/finish': 'now' });
    case 'schema':
      if ('shard' in what) world.behind.add(what.shard);
      return;
    case 'later':
      await world.clock.advance(60_000 * ('minutes' in what ? what.minutes : 0));
      return;
    default:
      assertNever(what);
  }
}

const ended = (world: MigrationWorld, name: string): boolean => {
  if (!world.exists(name)) return true;
  const { phase, transfers } = world.status(name);
  // What cannot be planned touches nothing, and waits for a person for ever.
  return (phase !== undefined && ENDED.has(phase)) || transfers === undefined;
};

/** More of them by hand: RUNS=2000. */
const RUNS = Number(process.env['RUNS'] ?? 100);

test('whatever happens, nothing is lost, doubled or left behind', { timeout: 1000 * RUNS }, async () => {
  const endings = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(day, async ({ operations, manual, events }) => {
      const world = await MigrationWorld.create({ shards: 2, wanted: 1, empty: 2 });
      const names = operations.map((spec, i) => {
        const cutover = manual ? { cutover: { mode: 'Manual' } } : {};
        world.create(`m${i}`, { ...spec, ...cutover });
        return `m${i}`;
      });
      for (const [which, what] of events) await happen(world, names[which] ?? 'm0', what);
      // The faults are over, and a person lets everything go on.
      heal(world);
      for (const name of names) {
        if (!world.exists(name)) continue;
        world.edit(name, { suspend: false, cutover: { mode: 'Automatic' } });
        // What was lost for good after the cutover only a person can accept.
        if (events.some(([, { kind }]) => kind === 'loseBack')) {
          world.annotate(name, { 'shardwright.io/finish': 'now' });
        }
      }
      await world.until(names, () => names.every(name => ended(world, name)), 600);
      world.checkEnd();
      for (const name of names) {
        const phase = world.exists(name) ? (world.status(name).phase ?? 'none') : 'gone';
        endings.set(phase, (endings.get(phase) ?? 0) + 1);
      }
    }),
    { numRuns: RUNS },
  );
  // Days in which nothing is ever done would prove nothing.
  expect(endings.get('Completed') ?? 0).toBeGreaterThan(5);
  expect(endings.get('Aborted') ?? 0).toBeGreaterThan(0);
});
