/** What the global options lead to: a cluster to read, streams into it, and the same choice as arguments for kubectl. */
import type { KubeConfig } from '@kubernetes/client-node';
import { defaultAuth, kubeConfigAuth } from '#kernel/auth.ts';
import { KubeClient } from '#kernel/kube-client.ts';
import type { PortForwardDial } from '#kernel/port-forward.ts';
import { BackupPolicies, Backups } from './backup/backups.ts';
import { CliError } from './errors.ts';
import { Fleet, ShardClusters, Shards } from './fleet.ts';
import { Migrations, ShardMigrations } from './migration/migrations.ts';

export interface ClusterOptions {
  readonly namespace?: string;
  readonly context?: string;
  readonly kubeconfig?: string;
}

export interface Session {
  readonly fleet: Fleet;
  readonly migrations: Migrations;
  readonly backups: Backups;
  /** Opens a stream to a Service through the API server. */
  readonly dial: PortForwardDial;
  /** `--namespace`, `--context` and `--kubeconfig`, as kubectl takes them. */
  readonly kubectlArgs: readonly string[];
  close(): void;
}

export type Connect = (options: ClusterOptions) => Promise<Session>;

export const connect: Connect = async options => {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const load = (): KubeConfig => loadConfig(new KubeConfig(), options);
  const outside = options.kubeconfig !== undefined || options.context !== undefined;
  const auth = outside ? kubeConfigAuth(load) : await defaultAuth();
  const client = new KubeClient({
    auth,
    resources: [ShardClusters, Shards, ShardMigrations, BackupPolicies],
    userAgent: 'kubectl-shardwright',
  });
  const namespace = options.namespace ?? client.defaultNamespace;
  return {
    fleet: new Fleet(client, namespace),
    migrations: new Migrations(client, namespace),
    backups: new Backups(client, namespace),
    dial: async (endpoint, signal) => {
      const { createPortForwardDial } = await import('#kernel/port-forward.ts');
      return createPortForwardDial(load(), namespace)(endpoint, signal);
    },
    kubectlArgs: [
      ...flag('kubeconfig', options.kubeconfig),
      ...flag('context', options.context),
      ...flag('namespace', namespace),
    ],
    close: () => client.close(),
  };
};

function loadConfig(config: KubeConfig, { kubeconfig, context }: ClusterOptions): KubeConfig {
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (cause) {
    throw new CliError(
      'Kubeconfig',
      `cannot read ${kubeconfig ?? 'the kubeconfig'}`,
      'Give its path with --kubeconfig.',
      { cause },
    );
  }
  if (context === undefined) return config;
  if (config.getContextObject(context) === null) {
    const known = config
      .getContexts()
      .map(({ name }) => name)
      .join(', ');
    throw new CliError(
      'Context',
      `the kubeconfig has no context ${context}`,
      `Use one of: ${known || '(none)'}.`,
    );
  }
  config.setCurrentContext(context);
  return config;
}

function flag(name: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [`--${name}=${value}`];
}
