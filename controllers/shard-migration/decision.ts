/**
 * What a pass can decide, as data. An action is one verb of the engine, one change of the map or one write of the status; a
 * pass may be killed after any of them, and the next one decides anew from what is there.
 */
import type { MigrationEnding, MigrationNewShard, MigrationTransfer } from '#crds/api/migration/status.ts';
import type { End, FenceLimits, Switch } from '#engines/migration.ts';

export type Action =
  /** The finalizer: from here on a deletion waits for cleaning up. */
  | { readonly kind: 'Hold' }
  | { readonly kind: 'LetGo' }
  /** Into the status, before anything is touched. */
  | { readonly kind: 'RecordPlan'; readonly plan: Plan }
  | ({ readonly kind: 'AddShard' } & MigrationNewShard)
  /** Ranges of the map end where those of the plan do: before an owner changes. */
  | { readonly kind: 'SplitRanges' }
  | { readonly kind: 'Preflight'; readonly transfers: readonly MigrationTransfer[] }
  | { readonly kind: 'Prepare' | 'StartForward' | 'StartBack' | 'CloseSuperseded'; readonly transfer: string }
  | { readonly kind: 'DropForward'; readonly transfer: string; readonly why: string }
  | { readonly kind: 'Verify'; readonly transfer: string; readonly stream: 'forward' | 'back' }
  | { readonly kind: 'OpenReaders' | 'CloseReaders'; readonly transfer: string; readonly change: Switch }
  /** Owners and generations into the map: of the side that the switch is about. */
  | { readonly kind: 'Publish'; readonly transfer: string; readonly change: Switch }
  | { readonly kind: 'MarkMap'; readonly transfer: string; readonly change: Switch }
  | { readonly kind: 'UnmarkMap'; readonly mark: string }
  | {
      readonly kind: 'Fence';
      readonly transfer: string;
      readonly change: Switch;
      readonly limits: FenceLimits;
    }
  /** There is no way back from here: what is being cleaned up, and why now. */
  | { readonly kind: 'Close'; readonly ending: MigrationEnding; readonly why: string }
  | { readonly kind: 'CleanUp'; readonly transfer: string; readonly loser: End };

export interface Plan {
  readonly transfers: readonly MigrationTransfer[];
  /** For people, in order. */
  readonly lines: readonly string[];
  /** A shard that has to be made first. */
  readonly newShard?: MigrationNewShard;
}

export interface Why {
  /** CamelCase, for a condition. */
  readonly reason: string;
  /** For people: names the object, and what to do if anything. */
  readonly message: string;
}

export type Decision =
  | (Why & { readonly kind: 'Act'; readonly actions: readonly Action[] })
  | (Why & {
      readonly kind: 'Wait';
      readonly againMs: number;
      /** Another migration, by name. */
      readonly waitingFor?: string;
      /** What people wanted is so; it only waits for what ends it. */
      readonly settled?: boolean;
      /** To be done on the side, whose result changes nothing. */
      readonly meanwhile?: readonly Action[];
      /** Lines of a plan that is not followed: of a dry run. */
      readonly lines?: readonly string[];
    })
  /** Needs a person. Looked at again all the same: what was wrong may have passed. */
  | (Why & {
      readonly kind: 'Stalled';
      readonly againMs: number;
      /** Looks that may find it put right. */
      readonly meanwhile?: readonly Action[];
    })
  | (Why & { readonly kind: 'Done'; readonly phase: MigrationEnding | 'Failed' });

export function act(reason: string, message: string, ...actions: readonly Action[]): Decision {
  return { kind: 'Act', reason, message, actions };
}

export function wait(reason: string, message: string, againMs: number): Decision & { readonly kind: 'Wait' } {
  return { kind: 'Wait', reason, message, againMs };
}

export function stalled(
  reason: string,
  message: string,
  againMs: number = SLOW_MS,
): Decision & { readonly kind: 'Stalled' } {
  return { kind: 'Stalled', reason, message, againMs };
}

/** Stays stalled while it is looked at again, so that nobody sees it come and go. */
export function stalledLooking(reason: string, message: string, look: Action): Decision {
  return { kind: 'Stalled', reason, message, againMs: FAST_MS, meanwhile: [look] };
}

/** Between looks while something moves. */
export const FAST_MS = 1000;
/** Between looks while only a person, a clock or another object can change anything. */
export const SLOW_MS = 15_000;
