/** The logins and rights that a Shard asks for, as the engine takes them, and a hash that changes when they do. Pure. */

import type { Shard } from '#crds/api/shard.ts';
import type { AccessInput } from '#engines/engine.ts';
import { digest } from '#kernel/canonical.ts';

export interface Verifiers {
  readonly app: string;
  readonly reference: string;
}

export function accessInput(shard: Shard, verifiers: Verifiers): AccessInput {
  return { ...withoutVerifiers(shard), verifier: verifiers.app, referenceVerifier: verifiers.reference };
}

/** Verifiers are stood in for by the version that the ShardCluster controller gave them. */
export function accessHash(shard: Shard): string {
  return digest([withoutVerifiers(shard), shard.spec.secrets.version ?? '']);
}

function withoutVerifiers({ spec }: Shard): Omit<AccessInput, 'verifier' | 'referenceVerifier'> {
  return {
    generation: spec.generation,
    readerGeneration: spec.readerGeneration,
    state: spec.state,
    partition: spec.sharding.partition,
    tables: spec.sharding.tables.map(({ name, reference }) => ({ name, reference: reference ?? false })),
    stableLogin: spec.access.stableLogin,
  };
}
