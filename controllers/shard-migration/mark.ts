/**
 * What a mark on the map says: which migration is about to change it, and exactly how - a switch with its generations, or a step
 * that follows from the plan alone. So whoever finds a change of several pages cut off in the middle can finish it without asking
 * anybody.
 */
import type { Switch } from '#engines/migration.ts';

export interface MarkedSwitch {
  readonly transfer: string;
  readonly change: Switch;
}

export function markOf(uid: string, { transfer, change }: MarkedSwitch): string {
  const { side, to, generations } = change;
  const { source, target } = generations;
  return [uid, transfer, side, to, `${source.from}-${source.to}`, `${target.from}-${target.to}`].join('/');
}

/** Changes of the map that the plan says all of: a shard that is added, ranges that are split. */
export type PlannedChange = 'AddShard' | 'SplitRanges';

export function markOfPlanned(uid: string, change: PlannedChange): string {
  return `${uid}/${change}`;
}

/** Undefined when it is no mark of such a change. */
export function readPlanned(mark: string): PlannedChange | undefined {
  const [, change, ...rest] = mark.split('/');
  return (change === 'AddShard' || change === 'SplitRanges') && rest.length === 0 ? change : undefined;
}

export function isMarkOf(mark: string | undefined, uid: string): boolean {
  return mark?.startsWith(`${uid}/`) ?? false;
}

/** Undefined when it is no mark of a switch. */
export function readMark(mark: string): MarkedSwitch | undefined {
  const [, transfer, side, to, source, target, ...rest] = mark.split('/');
  const generations = { source: pair(source), target: pair(target) };
  if (!transfer || !generations.source || !generations.target || rest.length > 0) return undefined;
  if ((side !== 'read' && side !== 'write') || (to !== 'source' && to !== 'target')) return undefined;
  return {
    transfer,
    change: { side, to, generations: { source: generations.source, target: generations.target } },
  };
}

function pair(text = ''): { readonly from: number; readonly to: number } | undefined {
  const match = /^(\d+)-(\d+)$/.exec(text);
  return match ? { from: Number(match[1]), to: Number(match[2]) } : undefined;
}
