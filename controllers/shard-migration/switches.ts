/**
 * The generations around a switch of readers or writers, derived from the map and from what the databases have decided: never
 * from memory, so that whoever goes on after a crash makes the very same switch. Pure.
 */
import type { End, Switch } from '#engines/migration.ts';
import { type MapShard, type ShardMap, shardByName } from '#sharding/map.ts';
import { type MigrationFacts, otherEnd, shardOfEnd, type TransferView } from './facts.ts';

type Side = Switch['side'];

/**
 * From the map's generations to the ones after them. Repeating it before the map is published gives the same; afterwards the map
 * says that the switch is done.
 */
export function nextSwitch(map: ShardMap, { plan }: TransferView, side: Side, to: End): Switch | undefined {
  const [source, target] = [shardByName(map, plan.source), shardByName(map, plan.target)];
  if (!source || !target) return undefined;
  const [from, gains] = [generationOf(source, side), generationOf(target, side)];
  return {
    side,
    to,
    generations: { source: { from, to: from + 1 }, target: { from: gains, to: gains + 1 } },
  };
}

/**
 * The switch of writers that the databases have decided and the map does not say yet: with the generations of the decision.
 * Undefined when map and databases agree.
 */
export function undecidedSwitch({ map }: MigrationFacts, view: TransferView): Switch | undefined {
  const { observed, owners, plan } = view;
  if (!map || !owners || observed.kind !== 'Facts') return undefined;
  const { writes, decided } = observed.facts;
  if (!decided || owners.write === 'other' || owners.write === writes) return undefined;
  const before = (end: End): number => {
    const shard = shardByName(map.map, shardOfEnd(plan, end));
    const present = shard ? generationOf(shard, 'write') : 0;
    return Math.min(present, decided.generations[end] - 1);
  };
  const of = (end: End) => ({ from: before(end), to: decided.generations[end] });
  return { side: 'write', to: writes, generations: { source: of('source'), target: of('target') } };
}

/**
 * The switch of readers that the map says is done, while the loser still lets older readers in. Undefined when there is nothing
 * left to close.
 */
export function unclosedReaders({ map }: MigrationFacts, view: TransferView, to: End): Switch | undefined {
  const { observed, owners, plan } = view;
  if (!map || observed.kind !== 'Facts' || owners?.read !== to) return undefined;
  const loser = otherEnd(to);
  const shards = {
    source: shardByName(map.map, plan.source),
    target: shardByName(map.map, plan.target),
  };
  const present = shards[loser]?.readerGeneration ?? 0;
  if (!observed.facts.ends[loser].readers.some(generation => generation < present)) return undefined;
  const of = (end: End) => {
    const generation = shards[end]?.readerGeneration ?? 1;
    return { from: generation - 1, to: generation };
  };
  return { side: 'read', to, generations: { source: of('source'), target: of('target') } };
}

function generationOf(shard: MapShard, side: Side): number {
  return side === 'write' ? shard.generation : shard.readerGeneration;
}
