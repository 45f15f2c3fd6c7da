/**
 * `make test`: everything, with all its set-up. While the cluster comes up, what needs none runs: lint, drift, unit and
 * API-server tests. End-to-end tests follow when all that is done, for they measure a machine that should be idle.
 * The last line is `N passed, N failed, N skipped`; the exit code is 0 only if nothing failed and something ran.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureDeployed } from '#hack/deploy.ts';
import { cacheDir, repoDir } from '#hack/paths.ts';
import { main, say, step } from '#hack/progress.ts';
import { tryRun } from '#hack/run.ts';
import { SetupError } from '#hack/setup-error.ts';
import { addResults, closingLine, noResults, type Results, readReport } from './results.ts';

const oneFailure: Results = { ...noResults, failed: 1 };

await main(async () => {
  await mkdir(cacheDir, { recursive: true });
  const scratch = await mkdtemp(join(cacheDir, 'testing-'));
  const problems: string[] = [];
  let results = noResults;
  try {
    const deployed = ensureDeployed().then(
      () => true,
      error => {
        problems.push(describe('set-up of the cluster', error));
        return false;
      },
    );
    await check('lint', ['run', '--silent', 'lint'], problems);
    await check('verify', ['run', '--silent', 'verify'], problems);
    results = await vitest(
      'unit and API-server tests',
      ['unit', 'api'],
      join(scratch, 'first.json'),
      'after',
    );
    // Without a cluster none of the end-to-end tests can pass: they count as one that failed, not as skipped.
    const endToEnd = (await deployed)
      ? await vitest('end-to-end tests', ['e2e', 'e2e-disruptive'], join(scratch, 'second.json'), 'live')
      : oneFailure;
    results = addResults(results, endToEnd);
  } catch (error) {
    problems.push(describe('the run of the tests', error));
    results = addResults(results, oneFailure);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  for (const name of results.skipped) say(`skipped: ${name.replace(`${repoDir}/`, '')}`);
  for (const name of results.failures) say(`failed: ${name.replace(`${repoDir}/`, '')}`);
  for (const problem of problems) process.stdout.write(`\nfailed: ${problem}\n`);
  if (problems.length > 0 || results.failed > 0 || results.passed === 0) process.exitCode = 1;
  process.stdout.write(`\n${closingLine(results)}\n`);
});

async function check(title: string, npm: readonly string[], problems: string[]): Promise<void> {
  const { code, stdout, stderr } = await step(title, () => tryRun('npm', npm));
  if (code !== 0) problems.push(`${title}\n${stdout}${stderr}`);
}

function describe(what: string, error: unknown): string {
  if (error instanceof SetupError) return `${what}: ${error.message}\nwhat to do: ${error.remedy}`;
  return `${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

/** Tests side by side with the set-up are shown when they are done, so that the two do not write into each other. */
async function vitest(
  title: string,
  projects: readonly string[],
  reportPath: string,
  show: 'live' | 'after',
): Promise<Results> {
  const args = [
    join(repoDir, 'node_modules/vitest/vitest.mjs'),
    'run',
    ...projects.map(project => `--project=${project}`),
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${reportPath}`,
  ];
  const ran = await step(title, () => tryRun(process.execPath, args, { inherit: show === 'live' }));
  if (show === 'after') process.stdout.write(`${ran.stdout}${ran.stderr}\n`);
  const json = await readFile(reportPath, 'utf8').catch(() => undefined);
  return json === undefined ? oneFailure : readReport(json, ran.code);
}
