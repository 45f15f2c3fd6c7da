/** How a program of the operator becomes one file: the image's, and those that measurements run in its stead. */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** One file with everything in it; what a stack trace says of it, its source map puts right. */
export async function bundleProgram(entryPoint: string, outfile: string): Promise<void> {
  await mkdir(dirname(outfile), { recursive: true });
  await build({
    entryPoints: [entryPoint],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    sourcemap: true,
    sourcesContent: false,
    // The engine keeps the text. Comments make it larger, and a single letter in them that is not Latin twice as large again:
    // 1.5 MB instead of 3.9.
    minifyWhitespace: true,
    // pg tries its native binding, which is never there. The other one only reads kubeconfigs, which a pod has none of: its
    // 18 MB of source would cost every replica some 50 MB of memory.
    external: ['pg-native', '@kubernetes/client-node'],
    // Bundled CommonJS packages still call require for Node's own modules.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    plugins: [httpByRequire],
    logLevel: 'error',
  });
}

/**
 * An import of node:http asks for all that it exports, and so for a WebSocket, which brings a browser's fetch with it: 3 MB of memory
 * that nobody uses. What is required is what is asked for.
 */
const httpByRequire: Plugin = {
  name: 'http-by-require',
  setup(bundle) {
    const namespace = 'required';
    bundle.onResolve({ filter: /^node:http$/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace } : undefined,
    );
    bundle.onLoad({ filter: /^/, namespace }, ({ path }) => ({
      contents: `module.exports = require('${path}');`,
    }));
  },
};
