/** Runs the load as a pod of the fleet's namespace, and says whether anything went wrong under it. */

import { type FleetOptions, schema } from '#test-e2e/support/fleet.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { startProgram } from '#test-e2e/support/program-pod.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { eventually } from '#test-e2e/support/wait.ts';
import { type LoadConfig, type LoadRecord, type LoadReport, parseLoadLog } from './records.ts';
import { loadSchema, loadTables, type Shape, shape as shapeSchema } from './shape.ts';

export type LoadOptions = Partial<Omit<LoadConfig, 'shape' | 'ballast'>> & {
  readonly shape?: Partial<Shape>;
  /** Rows of dead weight for each account. */
  readonly ballastPerOwner?: number;
  readonly fleet?: string;
};

export interface FinishedLoad {
  readonly report: LoadReport;
  readonly records: readonly LoadRecord[];
}

export interface Load {
  records(): Promise<readonly LoadRecord[]>;
  /** Stops it, waits until it has read everything back, and removes it. */
  finish(): Promise<FinishedLoad>;
}

/** For {@link fleet}: the load's tables, and the schema that makes them (apply `loadSchemaOf` first). */
export const forLoad = {
  schema: { configMaps: [{ name: 'load-schema' }] },
  sharding: { algorithm: 'hash', tables: loadTables },
} as const satisfies FleetOptions;

export function loadSchemaOf(shape: Pick<Shape, 'keyType' | 'regions'> = { keyType: 'bigint' }) {
  return schema('load-schema', { '01-load.sql': loadSchema(shape) });
}

/** Empties the tables of an earlier load. Resolves once accounts are open and every reader has found what it must find from now on. */
export async function startLoad(namespace: TestNamespace, options: LoadOptions = {}): Promise<Load> {
  const { shape: given = {}, fleet = 'fleet', ballastPerOwner = 0, ...rest } = options;
  const shape = shapeSchema.parse(given);
  const config = { durationMs: 1_800_000, ...rest, shape, ballast: ballastPerOwner * shape.owners };
  const name = `load-${fleet}`;
  await clearTables(namespace, fleet, config.ballast);
  const program = await startProgram(namespace, {
    name,
    app: 'load',
    entryPoint: `${import.meta.dirname}/main.ts`,
    env: [{ name: 'LOAD_CONFIG', value: JSON.stringify(config) }],
    secret: `${fleet}-app`,
    memory: '96Mi',
  });
  const records = async (): Promise<readonly LoadRecord[]> => parseLoadLog(await program.log());
  const told = (what: LoadRecord['type']): Promise<unknown> =>
    eventually(`${name} is ${what}`, namespace.name, async () => {
      const text = await program.log();
      if (parseLoadLog(text).some(({ type }) => type === what)) return true;
      throw new Error(`it has printed ${JSON.stringify(text.slice(-1000))}`);
    });
  await told('opened');
  if (ballastPerOwner > 0) await addBallast(namespace, fleet, ballastPerOwner, shape.regions !== undefined);
  await told('ready');
  return {
    records,
    async finish() {
      const all = parseLoadLog(await program.finish({ deadlineMs: 300_000 }));
      const report = all.find(record => record.type === 'report');
      if (report === undefined) throw new Error(`${name} ended without a report`);
      return { report, records: all };
    },
  };
}

/** Dead weight for every account that is there, so that a copy takes its time. */
async function addBallast(
  namespace: TestNamespace,
  fleet: string,
  perOwner: number,
  geo: boolean,
): Promise<void> {
  const key = geo ? 'owner, region' : 'owner';
  await everywhere(
    namespace,
    fleet,
    `INSERT INTO ballast (${key}, n, body)
     SELECT ${key}, n, repeat(md5(n::text), 3) FROM accounts, generate_series(1, ${perOwner}) AS n
     ON CONFLICT DO NOTHING`,
  );
}

/** What an earlier load has left; its dead weight stays if it is of use to this one. */
async function clearTables(namespace: TestNamespace, fleet: string, ballast: number): Promise<void> {
  const counts = await everywhere(namespace, fleet, 'SELECT count(*) FROM ballast');
  const stays = counts.reduce((sum, count) => sum + Number(count), 0) === ballast;
  await everywhere(namespace, fleet, `TRUNCATE accounts, pots, entries${stays ? '' : ', ballast'}`);
}

/** On the primary of each shard, as the superuser. The last line that each says. */
async function everywhere(namespace: TestNamespace, fleet: string, sql: string): Promise<string[]> {
  const said: string[] = [];
  for (const { metadata } of await namespace.shards(fleet)) {
    said.push((await superuserSql(namespace, await namespace.primaryOf(metadata.name), sql)).at(-1) ?? '');
  }
  return said;
}

/** What must not be, in words; empty when all is well. */
export function wrongs({ report, records }: FinishedLoad): string[] {
  return [
    ...report.lost.map(what => `lost: ${what}`),
    ...report.doubled.map(what => `doubled: ${what}`),
    ...report.torn.map(what => `torn: ${what}`),
    ...records.flatMap(record =>
      record.type === 'wrong' ? [`wrong ${record.what}: ${record.message}`] : [],
    ),
  ];
}

/** One line for the test's output: the figures are the point. */
export function tellLoad(what: string, { report }: FinishedLoad): void {
  const { acknowledged, unknown, failed, retried, lost, doubled, passes, writes, longestMs, errors } = report;
  const shown = errors.slice(0, 3).map(([message, count]) => `; ${count}x ${message}`);
  process.stderr.write(
    `${what}: ${acknowledged} writes acknowledged, ${retried} calls repeated by the client, ${failed} failed, ${unknown} unknown, ` +
      `lost ${lost.length}, doubled ${doubled.length}, scatters ${passes.right} right ${passes.wrong} wrong ${passes.failed} failed, ` +
      `writes p50 ${writes.p50} p99 ${writes.p99} ms, longest call ${longestMs} ms${shown.join('')}\n`,
  );
}
