/**
 * Finds or makes the programs that set-up and tests call. One on PATH is taken where a recent version does the same;
 * the rest are compiled from pinned sources, once, which works wherever Go and its module proxy do.
 */
import { compiledPath, ensureCompiled, type GoProgram, isCompiled } from '#hack/go-build.ts';
import { tryRun, which } from '#hack/run.ts';

export type ToolName = 'kubectl' | 'helm' | 'kind' | 'kube-apiserver' | 'etcd' | 'kwok' | 'versitygw';

/** Absolute path of a usable binary: one made earlier, a new enough one on PATH where that is safe, else compiled. */
export async function ensureTool(name: ToolName): Promise<string> {
  const program: GoProgram = name;
  if (await isCompiled(program)) return compiledPath(program);
  const accepted = acceptable[name];
  const installed = accepted ? await which(name) : undefined;
  if (accepted && installed) {
    const shown = await tryRun(installed, accepted.args, { timeoutMs: 10_000 });
    const minor = accepted.minor.exec(shown.stdout)?.[1];
    if (shown.code === 0 && minor && accepted.from <= Number(minor) && Number(minor) <= accepted.to)
      return installed;
  }
  await ensureCompiled([program]);
  return compiledPath(program);
}

interface Acceptable {
  readonly args: readonly string[];
  /** Finds the minor version in what the program prints, given the major version that is known to work. */
  readonly minor: RegExp;
  readonly from: number;
  readonly to: number;
}

/** What may be taken from PATH. kubectl works one minor version to either side of the server's. */
const acceptable: Partial<Record<ToolName, Acceptable>> = {
  kubectl: { args: ['version', '--client'], minor: /Client Version: v1\.(\d+)\./, from: 33, to: 35 },
  kind: { args: ['version'], minor: /kind v0\.(\d+)\./, from: 30, to: 31 },
  helm: { args: ['version', '--short'], minor: /^v3\.(\d+)\./, from: 16, to: 19 },
};
