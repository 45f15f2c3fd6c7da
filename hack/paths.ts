/** Where things are kept. Everything that set-up makes outside the work tree is under {@link cacheDir}. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export const repoDir = resolve(import.meta.dirname, '..');

/** `$XDG_CACHE_HOME/shardwright`, by default `~/.cache/shardwright`. Removing it costs time, never data. */
export const cacheDir = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'shardwright');

export const binDir = join(cacheDir, 'bin');
export const stampDir = join(cacheDir, 'stamps');
export const logDir = join(cacheDir, 'logs');

/** kind's name of the cluster: its nodes are the containers `<name>-control-plane`, `<name>-worker`, `<name>-worker2`. */
export const clusterName = process.env['SHARDWRIGHT_CLUSTER'] || 'shardwright';

export const kubeconfigPath = join(
  cacheDir,
  clusterName === 'shardwright' ? 'kubeconfig' : `kubeconfig-${clusterName}`,
);
