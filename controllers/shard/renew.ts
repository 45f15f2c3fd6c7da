/** Carries out one step of renewing a shard's members; see rollout.ts for which. */

import { reachablePrimary } from '#controllers/connect-target.ts';
import type { MemberAddress, MemberFacts } from '#engines/engine.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { ReconcileContext } from '#kernel/controller.ts';
import { orUndefined } from '#kernel/errors.ts';
import { Pods } from '#kernel/resources.ts';
import { inSession } from './database.ts';
import type { ShardDeps } from './deps.ts';
import type { ShardFacts } from './facts.ts';
import { decideRollout, type RolloutStep } from './rollout.ts';
import type { Rolling } from './status.ts';

/** Undefined when every member is as it should be. */
export async function renewMembers(
  deps: ShardDeps,
  facts: ShardFacts,
  /** Long enough after the last change of settings. */
  settled: boolean,
  context: ReconcileContext,
): Promise<Rolling | undefined> {
  const { shard, members } = facts;
  const step = decideRollout({
    members,
    settled,
    wanted: shard.spec.members,
    strong: shard.spec.consistency === 'strong',
    switchover: deps.engine(shard).capabilities.switchover,
  });
  if (step.kind === 'Done') return undefined;
  // What is down already needs no turn, and a shard that only waits takes none.
  const disturbs = step.kind !== 'Wait' && !(step.kind === 'ReplacePod' && !step.member.ready);
  if (disturbs && !deps.turns.take(shard)) {
    return {
      what: 'members wait to be renewed: other shards of the fleet are at it',
      reason: 'WaitingForTurn',
    };
  }
  return { what: await carryOut(deps, facts, step, context), reason: 'RollingOut' };
}

async function carryOut(
  deps: ShardDeps,
  facts: ShardFacts,
  step: Exclude<RolloutStep, { readonly kind: 'Done' }>,
  context: ReconcileContext,
): Promise<string> {
  const { shard, members } = facts;
  switch (step.kind) {
    case 'Wait':
      return `members are being renewed: ${step.why}`;
    case 'ReplacePod': {
      const { name } = step.member;
      await replacePod(deps, facts, name, context);
      return `${name} is being replaced`;
    }
    case 'RestartMember': {
      const { member } = step;
      const address = addressOf(member);
      const primary = reachablePrimary(members);
      if (!address || !primary) return `${member.name} waits for a restart`;
      context.log.info({ member: member.name }, 'restarting a member for changed settings');
      await inSession(deps, shard, primary, context, session => session.restart(address));
      return `${member.name} is being restarted`;
    }
    case 'Switchover': {
      const from = addressOf(step.from);
      const primary = reachablePrimary(members);
      if (!from || !primary) return `${step.from.name} waits for a switchover`;
      context.log.info({ from: step.from.name, to: step.to.name }, 'switching over');
      await inSession(deps, shard, primary, context, session => session.switchover(from, step.to.name));
      deps.events.emit({
        regarding: facts.raw,
        type: 'Normal',
        reason: 'Renewing',
        action: 'Switchover',
        note: `${step.to.name} takes over from ${step.from.name}, which is to be renewed`,
      });
      return `${step.to.name} takes over from ${step.from.name}`;
    }
    default:
      return assertNever(step);
  }
}

async function replacePod(
  deps: ShardDeps,
  facts: ShardFacts,
  name: string,
  { signal, log }: ReconcileContext,
): Promise<void> {
  const pod = facts.objects.pods.find(candidate => candidate.metadata.name === name);
  if (!pod || pod.metadata.deletionTimestamp !== undefined) return;
  log.info({ pod: name }, 'replacing a member for a newer template');
  const { uid } = pod.metadata;
  // Only this very pod: its successor bears the same name.
  const gone = deps.client.delete(Pods, pod.metadata, { signal, ...(uid ? { preconditions: { uid } } : {}) });
  await orUndefined(gone);
}

function addressOf(member: MemberFacts): MemberAddress | undefined {
  return member.podIP === undefined ? undefined : { name: member.name, host: member.podIP };
}
