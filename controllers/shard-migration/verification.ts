/** When rows are compared, and what follows when they differ: nothing more, until they don't or a person decides. Pure. */
import {
  type Action,
  act,
  type Decision,
  FAST_MS,
  SLOW_MS,
  stalled,
  stalledLooking,
  wait,
} from './decision.ts';
import { type Known, type MigrationFacts, nameOf } from './facts.ts';
import { streamMustWait } from './gate.ts';

/** Rows that differed are compared again: the cause may have been put right. */
const AGAIN_MS = 60_000;

/** Undefined when every one of them has been compared and found equal since its stream was made. */
export function comparing(
  facts: MigrationFacts,
  known: readonly Known[],
  stream: 'forward' | 'back',
  now: Date,
): Decision | undefined {
  const next = known.find(({ transfer }) => transfer.verified[stream] === undefined);
  if (!next) return undefined;
  const { view, transfer } = next;
  const last = facts.status.verification;
  const verify: Action = { kind: 'Verify', transfer: view.plan.id, stream };
  const dueMs = last ? Date.parse(last.time) + AGAIN_MS - now.getTime() : 0;
  if (last && !last.matches && last.stream === stream) {
    const remedy =
      stream === 'forward'
        ? 'Nothing was switched: correct the rows, or set spec.abort to undo'
        : 'Nothing is cleaned up: set spec.abort to roll back, or correct the rows';
    const some = last.differences.slice(0, 3).join('; ');
    const message = `${nameOf(view)}: rows differ (${some}). ${remedy}`;
    return dueMs > 0
      ? stalled('VerificationFailed', message, Math.min(dueMs, SLOW_MS))
      : stalledLooking('VerificationFailed', message, verify);
  }
  const why = streamMustWait(facts, view, transfer[stream]);
  if (why) return wait(why.reason, why.message, FAST_MS);
  return act('Comparing', `${nameOf(view)}: comparing rows`, verify);
}
