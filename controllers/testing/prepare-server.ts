/** What an API server needs before a fleet can be made on it; done once per server, by whoever comes first. */
import type { ApiTest } from '#hack/api-test.ts';
import { AlreadyExistsError } from '#kernel/errors.ts';
import type { KubeObject } from '#kernel/object.ts';
import { Nodes, StorageClasses } from '#kernel/resources.ts';

const NODES: readonly KubeObject[] = ['eu-west', 'us-east'].map(region => ({
  apiVersion: Nodes.apiVersion,
  kind: Nodes.kind,
  metadata: { name: `node-${region}`, labels: { 'topology.kubernetes.io/region': region } },
}));

const CLASSES: readonly KubeObject[] = [
  { name: 'growing', allowVolumeExpansion: true },
  { name: 'fixed', allowVolumeExpansion: false },
].map(({ name, allowVolumeExpansion }) => ({
  apiVersion: StorageClasses.apiVersion,
  kind: StorageClasses.kind,
  metadata: { name },
  provisioner: 'example.invalid/none',
  allowVolumeExpansion,
}));

export async function prepareServer(api: ApiTest): Promise<void> {
  await api.installCrds();
  for (const object of [...NODES, ...CLASSES]) {
    try {
      await api.client.create(object);
    } catch (error) {
      if (!(error instanceof AlreadyExistsError)) throw error;
    }
  }
}
