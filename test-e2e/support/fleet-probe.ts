/** The probe as an application of a fleet: through a shard's read-write Service, over TLS, as the login of the generation. */
import { writeLogin } from '#sharding/endpoints.ts';
import { type Probe, startProbe } from '#test-e2e/probe/deploy.ts';
import type { ProbeRecord } from '#test-e2e/probe/records.ts';
import { hasSuccessor, type ProbeReport } from '#test-e2e/probe/report.ts';
import type { TestNamespace } from './namespace.ts';
import { Shards } from './resources.ts';
import { eventually } from './wait.ts';

export async function probeShard(
  namespace: TestNamespace,
  options: {
    readonly shard?: string;
    readonly mode?: 'connect' | 'pooled';
    readonly port?: 5432 | 6432;
    readonly durationMs?: number;
    /** A node that will be stopped. */
    readonly avoidNode?: string;
  } = {},
): Promise<Probe> {
  const { shard = 'fleet-0', port = 5432, mode = 'connect', durationMs, avoidNode } = options;
  const { spec } = await namespace.get(Shards, shard);
  return startProbe(namespace, {
    service: shard,
    user: writeLogin(spec.generation),
    mode,
    port,
    secret: { name: `${shard.replace(/-\d+$/, '')}-app`, passwordKey: 'password', ca: true },
    ...(durationMs === undefined ? {} : { durationMs }),
    ...(avoidNode === undefined ? {} : { avoidNode }),
  });
}

/**
 * Waits until writes were acknowledged by a primary and by its successor. That is another member on a new timeline, or the same one
 * started anew, on the old timeline, where it is back before the lock has passed on.
 */
export async function successorAcknowledges(namespace: TestNamespace, probe: Probe): Promise<void> {
  await eventually('writes are acknowledged by a successor', namespace.name, async () =>
    hasSuccessor(await probe.records()) ? true : undefined,
  );
}

/** One line for the test's output: the figures are the point, nothing is asserted about them. */
export function tell(what: string, report: ProbeReport & { readonly records: readonly ProbeRecord[] }): void {
  const errors = report.errors.slice(0, 3).map(([message, count]) => `${count}x ${message}`);
  process.stderr.write(
    `${what}: downtime ${Math.round(report.longestGapMs)} ms, ${report.acknowledged} inserts acknowledged, ` +
      `${report.failed} failed, ${report.missing?.length ?? 'unknown'} missing, timelines ${report.timelines.join(' ')}` +
      `${errors.length > 0 ? `; ${errors.join('; ')}` : ''}\n`,
  );
}
