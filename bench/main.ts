/**
 * `npm run bench -- NAME`: prints the bench's figures as one line of JSON on standard output, and nothing else there.
 * Benches are the files of this folder that the table names.
 */
import { progressToStandardError } from '#hack/progress.ts';
import type { Bench } from './bench.ts';

const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  archive: () => import('./archive.ts'),
  client: () => import('./client.ts'),
  copy: () => import('./copy.ts'),
  cutover: () => import('./cutover.ts'),
  failover: () => import('./failover.ts'),
  provision: () => import('./provision.ts'),
  reconcile: () => import('./reconcile.ts'),
  routing: () => import('./routing.ts'),
  rpo: () => import('./rpo.ts'),
  rto: () => import('./rto.ts'),
};

const [name = ''] = process.argv.slice(2);
const load = benches[name];
if (load === undefined) {
  process.stderr.write(
    `usage: npm run bench -- NAME, where NAME is one of: ${Object.keys(benches).join(', ')}\n`,
  );
  process.exitCode = 2;
} else {
  progressToStandardError();
  const bench = await load();
  process.stdout.write(`${JSON.stringify(await bench.run())}\n`);
}
