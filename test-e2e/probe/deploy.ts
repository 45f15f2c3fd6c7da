/**
 * Runs the probe as a pod and reads its log. It dials addresses, so that neither DNS nor the API server is between it and the
 * database.
 */
import { Services } from '#kernel/resources.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { startProgram } from '#test-e2e/support/program-pod.ts';
import { eventually } from '#test-e2e/support/wait.ts';
import { type ProbeConfig, type ProbeRecord, parseLog } from './records.ts';
import { type ProbeReport, reportOf } from './report.ts';

export interface ProbeOptions {
  /** Name of the Service to write through; the probe's own name too. */
  readonly service: string;
  readonly port?: number;
  readonly database?: string;
  readonly user: string;
  readonly mode?: ProbeConfig['mode'];
  readonly durationMs?: number;
  /** Where the password (and `ca.crt`, if the connection is to be encrypted) comes from. */
  readonly secret: { readonly name: string; readonly passwordKey: string; readonly ca: boolean };
  readonly createTable?: boolean;
  readonly image?: string;
  /** A node that will be stopped, and with it whatever runs there. */
  readonly avoidNode?: string;
}

export interface Probe {
  /** Everything recorded so far. */
  records(): Promise<ProbeRecord[]>;
  /** Stops inserting, waits until the table was read back, and judges. Removes the pod. */
  finish(): Promise<ProbeReport & { readonly records: readonly ProbeRecord[] }>;
  /** Ends it where there is no table to read back any more. Resolves with everything recorded. */
  abandon(): Promise<readonly ProbeRecord[]>;
}

/** Resolves once the probe can reach the table and has begun to insert. */
export async function startProbe(namespace: TestNamespace, options: ProbeOptions): Promise<Probe> {
  const mode = options.mode ?? 'connect';
  const name = `probe-${options.service}-${mode}`;
  const service = await namespace.get(Services, options.service);
  const config: ProbeConfig = {
    run: `${mode}-${Date.now()}`,
    host: service.spec?.clusterIP ?? '',
    port: options.port ?? 5432,
    database: options.database ?? 'app',
    user: options.user,
    table: 'probe_writes',
    mode,
    intervalMs: 100,
    timeoutMs: 1000,
    durationMs: options.durationMs ?? 600_000,
    createTable: options.createTable ?? false,
    ...(options.secret.ca ? { serverName: `${options.service}.${namespace.name}.svc` } : {}),
  };
  const { secret, image, avoidNode } = options;
  const from = (key: string) => ({ valueFrom: { secretKeyRef: { name: secret.name, key } } });
  const program = await startProgram(namespace, {
    name,
    app: 'probe',
    entryPoint: `${import.meta.dirname}/main.ts`,
    env: [
      { name: 'PROBE_CONFIG', value: JSON.stringify(config) },
      { name: 'PROBE_PASSWORD', ...from(secret.passwordKey) },
      ...(secret.ca ? [{ name: 'PROBE_CA', ...from('ca.crt') }] : []),
    ],
    ...(image === undefined ? {} : { image }),
    ...(avoidNode === undefined ? {} : { avoidNode }),
  });
  const records = async (): Promise<ProbeRecord[]> => parseLog(await program.log());
  await eventually(`probe ${name} logs "ack"`, namespace.name, async () =>
    (await records()).some(record => record.type === 'ack') ? true : undefined,
  );
  return {
    records,
    async finish() {
      const all = parseLog(await program.finish());
      return { ...reportOf(all), records: all };
    },
    abandon: async () => parseLog(await program.remove()),
  };
}
