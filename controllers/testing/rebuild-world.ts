/** A world around the decision about a rebuild: each step does what the API server, the members and the Job would do next. For tests. */

import { decideRebuild, type RebuildAction, type RebuildPlan } from '#controllers/shard/rebuild/decide.ts';
import type { ClaimView, RebuildFacts } from '#controllers/shard/rebuild/facts.ts';
import { concluded, orderOf } from '#controllers/shard/rebuild/order.ts';
import { annotations } from '#crds/api/names.ts';
import type { Shard, ShardRebuildStatus, ShardStatus } from '#crds/api/shard.ts';
import type { MergePatch } from '#engines/engine.ts';
import type { FoundShard, RecoveryReport } from '#engines/recovery.ts';
import type { Partition } from '#sharding/partition.ts';
import { shardWith } from './objects.ts';

export const now = new Date('2026-03-01T12:00:00Z');
export const firstClaim = 'data-social-0-0';

export const slots = (first: number, last: number): Partition => ({
  kind: 'slots',
  slots: 1024,
  ranges: [{ first, last }],
});

export const backup: NonNullable<ShardStatus['backup']> = {
  policy: 'nightly',
  since: '2026-03-01T00:00:00Z',
  place: 'here',
  archive: {
    at: '2026-03-01T11:59:00Z',
    rpoSeconds: 4,
    continuity: 'Verified',
    since: '2026-03-01T00:00:00Z',
    settingsVersion: 'here.10',
    timeline: 1,
    objects: 1,
    bytes: 1,
  },
  records: [
    {
      label: '20260301-010000F',
      type: 'full',
      started: '2026-03-01T00:59:00Z',
      stopped: '2026-03-01T01:00:00Z',
      databaseBytes: 1,
      storedBytes: 1,
      error: false,
    },
  ],
};

const bare = shardWith();

export class RebuildWorld {
  marks: Record<string, string> = { [annotations.rebuild]: 'latest', [annotations.discardVolumes]: 'true' };
  status: ShardStatus = { backup, accessHash: 'old', primary: 'social-0-1' };
  state: Shard['spec']['state'] = 'active';
  inUse = false;
  replicas = 2;
  /** Names of pods that run, by ordinal. */
  running = [0, 1];
  claims: ClaimView[] = [0, 1].map(i => claim(`data-social-0-${i}`));
  job: RebuildFacts['job'];
  /** Why the Job fails. */
  failure: string | undefined;
  found: FoundShard = { partition: slots(0, 255), generation: 4, readerGeneration: 2, transfers: [] };
  /** The store remembers members of before. */
  remembers = true;
  serving = true;
  /** The uid of the claim whose volume holds what came back, once it does. */
  filled: string | undefined;
  jobs = 0;

  get shard(): Shard {
    const { metadata, spec } = bare;
    const { state, status, marks } = this;
    return { ...bare, metadata: { ...metadata, annotations: marks }, spec: { ...spec, state }, status };
  }

  get rebuild(): ShardRebuildStatus | undefined {
    return this.shard.status?.rebuild;
  }

  facts(): RebuildFacts | undefined {
    const { shard } = this;
    const order = orderOf(shard);
    return (
      order && {
        shard,
        order,
        now,
        inUse: this.inUse,
        replicas: this.replicas,
        stopped: this.replicas === 0 && this.running.length === 0,
        claims: this.claims,
        firstClaim,
        job: this.job,
        serves: this.serving && this.running.length > 0 && this.shard.status?.accessHash !== undefined,
        forget: () => (this.remembers ? [patch] : []),
      }
    );
  }

  /** One pass, cut off after so many writes; then the world moves on. Returns the plan. */
  pass(writes = Number.POSITIVE_INFINITY): RebuildPlan | undefined {
    const facts = this.facts();
    const plan = facts && decideRebuild(facts);
    let left = writes;
    const write = (act: () => void) => {
      if (left-- > 0) act();
    };
    for (const action of plan?.actions ?? []) write(() => this.#act(action));
    write(() => {
      this.replicas = plan?.replicas ?? 2;
    });
    if (plan)
      write(() => {
        const { accessHash, rebuild: _, ...rest } = this.status;
        this.status = {
          ...rest,
          ...(plan.blank || accessHash === undefined ? {} : { accessHash }),
          ...(plan.status && { rebuild: plan.status }),
        };
      });
    else {
      const over = concluded(this.rebuild, now);
      if (over) this.status = { ...this.status, rebuild: over };
    }
    this.#move(plan);
    return plan;
  }

  /** Until nothing is asked for and all members run. Returns what was under way, each once. */
  settle(): readonly string[] {
    const said: string[] = [];
    for (let i = 0; i < 60; i++) {
      const plan = this.pass();
      const words = plan?.problem?.message ?? plan?.progress;
      if (words !== undefined && words !== said.at(-1)) said.push(words);
      if (!plan || plan.problem) break;
    }
    return said;
  }

  #act(action: RebuildAction): void {
    switch (action.kind) {
      case 'CreateClaim':
        this.claims = [claim(firstClaim), ...this.claims];
        return;
      case 'CreateJob': {
        const order = orderOf(this.shard);
        this.jobs++;
        this.job = {
          name: 'social-0-recover',
          uid: `job-${this.jobs}`,
          request: order?.id ?? '',
          state: 'Running',
          message: undefined,
          report: undefined,
        };
        return;
      }
      case 'DeleteJob':
        this.job = undefined;
        return;
      case 'Forget':
        this.remembers = false;
        return;
      case 'MarkClaim': {
        const id = orderOf(this.shard)?.id;
        this.claims = this.claims.map(each =>
          each.name === action.claim.name ? { ...each, rebuiltFor: id } : each,
        );
        return;
      }
      case 'DeleteClaim':
        this.claims = this.claims.filter(({ name }) => name !== action.claim.name);
        return;
      case 'Conclude':
        this.marks = { [annotations.backupNow]: 'full' };
        return;
    }
  }

  #move(plan: RebuildPlan | undefined): void {
    this.running = Array.from({ length: this.replicas }, (_, i) => i);
    for (const i of this.running) {
      const name = `data-social-0-${i}`;
      if (!this.claims.some(each => each.name === name)) this.claims = [...this.claims, claim(name)];
    }
    const state = this.rebuild?.state;
    this.state = state === 'Running' || state === 'Failed' ? 'maintenance' : 'active';
    if (this.job?.state === 'Running' && this.running.length === 0) this.#endJob(this.job);
    // The Shard controller's own session, once a member serves.
    if (!plan?.blank && this.serving && this.running.length > 0)
      this.status = { ...this.status, accessHash: 'new' };
  }

  #endJob(job: NonNullable<RebuildFacts['job']>): void {
    const words = { kind: 'Recovery', request: job.request, at: now.toISOString(), steps: [] } as const;
    const report: RecoveryReport =
      this.failure === undefined
        ? {
            ...words,
            state: 'Succeeded',
            result: { systemIdentifier: '73', lastCommit: '2026-03-01T11:58:58Z', found: this.found },
          }
        : { ...words, state: 'Failed', failure: this.failure };
    if (this.failure === undefined) this.filled = this.claims.find(({ name }) => name === firstClaim)?.uid;
    this.job = { ...job, state: this.failure === undefined ? 'Complete' : 'Failed', report };
  }
}

let made = 0;
function claim(name: string): ClaimView {
  return { name, uid: `claim-${++made}`, deleting: false, rebuiltFor: undefined };
}

const patch: MergePatch = {
  apiVersion: 'v1',
  kind: 'Endpoints',
  namespace: 'default',
  name: 'social-0',
  body: {},
};
