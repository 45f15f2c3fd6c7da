/**
 * Makes dist/kubectl-shardwright: the plugin as one executable file that needs Node.js and nothing else.
 * `npm run build:cli -- [file]`
 */
import { chmod } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { repoDir } from '#hack/paths.ts';

/** Old enough syntax for a Node.js that is too old to get as far as saying so. */
const syntax = 'node20';
const oldestNode = 22;

const banner = `#!/usr/bin/env node
import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);
if (Number.parseInt(process.versions.node) < ${oldestNode}) {
  console.error('error: kubectl-shardwright needs Node.js ${oldestNode} or later; this is ' + process.versions.node);
  process.exit(1);
}`;

export async function buildCli(outfile: string): Promise<void> {
  await build({
    entryPoints: [join(repoDir, 'cli/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: syntax,
    format: 'esm',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    // pg and ws try native bindings, which are never there.
    external: ['pg-native', 'bufferutil', 'utf-8-validate'],
    banner: { js: banner },
    logLevel: 'error',
  });
  await chmod(outfile, 0o755);
}

if (import.meta.main) {
  const outfile = resolve(process.argv[2] ?? join(repoDir, 'dist/kubectl-shardwright'));
  await buildCli(outfile);
  process.stdout.write(`${outfile}\n`);
}
