/** Finds or makes the programs that set-up and tests call. */
export type ToolName = 'kubectl' | 'helm' | 'kind' | 'kube-apiserver' | 'etcd' | 'kwok' | 'versitygw';

/** Absolute path of a usable binary: a new enough one on PATH where that is safe, else compiled once into the cache. */
export async function ensureTool(name: ToolName): Promise<string> {
  throw new Error(`${name}: following`);
}
