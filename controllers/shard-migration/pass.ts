/** What the actions of one pass share. */
import type { MigrationTransfer, ShardMigrationStatus } from '#crds/api/migration/status.ts';
import type { TransferSession } from '#engines/migration.ts';
import type { ReconcileContext } from '#kernel/controller.ts';
import type { EventInput } from '#kernel/events.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Request } from '#kernel/source.ts';
import type { MigrationDeps } from './deps.ts';
import type { MigrationFacts } from './facts.ts';
import type { TransferSessions } from './sessions.ts';

export interface Pass {
  readonly deps: MigrationDeps;
  readonly raw: KubeObject;
  readonly facts: MigrationFacts;
  readonly sessions: TransferSessions;
  readonly context: ReconcileContext;
  /** Writes the status at once. */
  readonly record: (change: (status: ShardMigrationStatus) => ShardMigrationStatus) => Promise<void>;
  /** The object was changed otherwise: the next status is written over this. */
  readonly wrote: (object: KubeObject | undefined) => void;
  /** How long writers have been waiting by the fence's own account, and since when we wait on top of that. */
  fenced: { readonly stallMs: number; readonly atMs: number } | undefined;
  /** How long the next pass is put off, in milliseconds. */
  restMs: number;
}

/** `Stop`: what follows makes no sense any more. */
export type Outcome = 'Stop' | undefined;

export function sessionOf({ sessions, facts }: Pass, transfer: string): Promise<TransferSession> {
  return sessions.of(planOf(facts, transfer));
}

export function planOf({ status }: MigrationFacts, id: string): MigrationTransfer {
  const plan = status.transfers?.find(transfer => transfer.id === id);
  if (!plan) throw new Error(`no transfer ${id} in the plan`);
  return plan;
}

export function fleetOf({ migration: { metadata, spec } }: MigrationFacts): Request {
  return { namespace: metadata.namespace ?? '', name: spec.cluster.name };
}

export function uidOf({ migration }: MigrationFacts): string {
  return migration.metadata.uid ?? '';
}

export function emit(
  { deps, raw }: Pick<Pass, 'deps' | 'raw'>,
  type: EventInput['type'],
  reason: string,
  action: string,
  note: string,
): void {
  deps.events.emit({ regarding: raw, type, reason, action, note });
}

/** Texts from elsewhere are as long as they like; those of a status are not. */
export function cut(text: string): string {
  return text.slice(0, 500);
}
