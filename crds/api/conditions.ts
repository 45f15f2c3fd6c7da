/**
 * Conditions as `kstatus` reads them: `Ready` for people, `Reconciling` while there is work, `Stalled` when only a change by
 * a person helps. `reason` is a CamelCase constant, `message` names the object and what to do next.
 */
import { z } from 'zod';
import { listMap } from './rules.ts';

export const ConditionType = {
  ready: 'Ready',
  reconciling: 'Reconciling',
  stalled: 'Stalled',
  /** Every file of spec.schema is applied. */
  schemaApplied: 'SchemaApplied',
  /** Reference tables are at the newest version on every shard. */
  referencesCurrent: 'ReferencesCurrent',
  rpoMet: 'RPOMet',
  rtoMet: 'RTOMet',
  /** Every shard has a backup that its schedule asks for. */
  backupsCurrent: 'BackupsCurrent',
  /** Rows that spec.archive asks for are in the object store. */
  archived: 'Archived',
} as const;

export const condition = z.object({
  type: z.string().min(1).max(64).describe('What the condition is about, such as Ready.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('Whether it holds.'),
  observedGeneration: z.int().min(0).exactOptional().describe('metadata.generation that this was found for.'),
  lastTransitionTime: z.string().max(40).describe('When `status` last changed, as RFC 3339 writes it.'),
  reason: z.string().min(1).max(128).describe('Why, as one CamelCase word for programs.'),
  message: z.string().max(4096).describe('Why, for people: names the object and what to do next.'),
});

export type Condition = z.infer<typeof condition>;

export const conditions = listMap(
  z.array(condition).max(16).describe('What holds at present: Ready, Reconciling, Stalled and others.'),
  'type',
);
