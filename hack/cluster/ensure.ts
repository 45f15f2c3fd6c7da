/** The cluster that demo and end-to-end tests run on: found, or made, and left running. */
export interface Cluster {
  /** Absolute path of a kubeconfig whose current context is the cluster. Never the user's own unless CLUSTER=current. */
  readonly kubeconfig: string;
  /** True when the cluster is the project's own kind cluster, whose nodes are containers named `<name>-worker`, ... */
  readonly kind: boolean;
  /** kind's name of it; empty when `kind` is false. */
  readonly name: string;
}

/** Quick (about a second) when the cluster is already up and healthy. */
export async function ensureCluster(): Promise<Cluster> {
  throw new Error('following');
}
