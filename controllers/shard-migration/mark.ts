/**
 * What a mark on the map says: which migration is about to change it, and exactly how. So whoever finds a change of several
 * pages cut off in the middle can finish it without asking anybody.
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

export interface AddedShard {
  readonly name: string;
  readonly ordinal: number;
  readonly region: string;
}

export function markOfAdding(uid: string, { name, ordinal, region }: AddedShard): string {
  return [uid, 'add', name, ordinal, region].join('/');
}

/** Undefined when it is no mark of a shard that is added. */
export function readAdding(mark: string): AddedShard | undefined {
  const [, add, name, ordinal = '', region, ...rest] = mark.split('/');
  if (add !== 'add' || !name || !region || !/^\d+$/.test(ordinal) || rest.length > 0) return undefined;
  return { name, ordinal: Number(ordinal), region };
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
